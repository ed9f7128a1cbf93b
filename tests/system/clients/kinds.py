"""The clients: how each is run, which model it asks, and as what it shows the service's refusals."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.system.clients.scenes import BUDGET, IMAGE, POLKIT, REFUSED, TOOLS, UNKNOWN, UNKNOWN_MODEL

OURS, PYTHON, NODE = "", "python", "node"  # whose packages: cortexd's own, those of script/client-programs
INSTALLED = tuple(os.environ.get("CORTEXD_REAL_CLIENTS", "tests").split())  # of script/real-clients
Shown = tuple[str | None, int | None]


@dataclass(frozen=True, slots=True)
class Kind:
    """`program` with `arguments` is in tests/system/clients/programs, its packages `where`. `errors`: the exception (or
    exit) and HTTP status by scene. `route`: what the client has before each model's name. `command`: it runs one, or
    that `binary` below `where`, which has tools of its own: `calls` are what the provider calls by scene. `without`:
    scenes that it has nothing for; `hides`: those whose words it keeps to itself; `waits`: it shows streams whole."""

    name: str
    program: str
    model: str
    errors: Mapping[str, Shown]
    where: str = PYTHON
    route: str = ""
    arguments: tuple[str, ...] = ()
    command: bool = False
    binary: str = ""
    calls: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()
    waits: bool = False


_SDKS: dict[str, Shown] = {
    BUDGET: ("RateLimitError", 429),
    POLKIT: ("PermissionDeniedError", 403),
    UNKNOWN: ("NotFoundError", 404),
}
_PAYMENT: dict[str, Shown] = {BUDGET: ("PaymentRequiredError", 402)}
_LITELLM: dict[str, Shown] = {POLKIT: ("APIError", 403)}
_LANGCHAIN: dict[str, dict[str, Shown]] = {
    of: {POLKIT: (f"{of}PermissionDeniedError", 403), UNKNOWN: (f"{of}ModelNotFoundError", 404)}
    for of in ("OpenAI", "Anthropic")
}
_EXIT: dict[str, Shown] = dict.fromkeys(_SDKS, ("exit 1", None))
_GOOD_END = (None, None)  # whatever happened
_BY_NAME = ("claude", REFUSED, UNKNOWN_MODEL)  # for a program that wants its models in a file

_TESTED = [
    Kind("OpenAI's Python SDK, chat", "openai_chat", "kimi_k2", _SDKS, OURS),
    Kind("OpenAI's Python SDK, responses", "openai_responses", "claude", _SDKS, OURS),
    Kind("Anthropic's Python SDK", "anthropic_messages", "claude", _SDKS | _PAYMENT, OURS),
    Kind("OpenAI's JavaScript SDK, chat", "openai_chat", "kimi_k2", _SDKS, NODE),
    Kind("OpenAI's JavaScript SDK, responses", "openai_responses", "claude", _SDKS, NODE),
    Kind("Anthropic's JavaScript SDK", "anthropic_messages", "claude", _SDKS | _PAYMENT, NODE),
    Kind("LiteLLM, openai/", "litellm_sdk", "claude", _SDKS | _LITELLM, route="openai/"),
    Kind("LiteLLM, anthropic/", "litellm_sdk", "claude", _SDKS | _PAYMENT, route="anthropic/"),
    Kind(
        "langchain-openai",
        "langchain_models",
        "claude",
        {BUDGET: ("OpenAIRateLimitError", 429), **_LANGCHAIN["OpenAI"]},
        route="openai/",
    ),
    Kind("langchain-anthropic", "langchain_models", "claude", _PAYMENT | _LANGCHAIN["Anthropic"], route="anthropic/"),
    Kind("llm", "llm_command", "claude", _EXIT, arguments=_BY_NAME, command=True),
]


def _files(user: str = "alice") -> tuple[str, str]:
    """The clock and the picture that tests/system/clients/programs/commanding.py puts there."""
    home = pwd.getpwnam(user).pw_dir
    return f"{home}/clock.txt", f"{home}/picture.png"


def _calling(*calls: tuple[str, dict[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, json.dumps(arguments)) for name, arguments in calls)


def _larger() -> dict[str, Kind]:
    """Those of script/real-clients."""
    clock, picture = _files()
    say = "echo 30 degrees"
    reading = {TOOLS: _calling(("Bash", {"command": say, "description": "d"}), ("Read", {"file_path": clock}))}
    looking = {IMAGE: _calling(("Read", {"file_path": picture}))}
    shell = {TOOLS: _calling(("exec_command", {"cmd": say}), ("exec_command", {"cmd": f"cat {clock}"}))}
    opencode = {TOOLS: _calling(("bash", {"command": say, "description": "d"}), ("read", {"filePath": clock}))}
    return {
        "claude-code": Kind(
            "Claude Code",
            "claude_code",
            "claude",
            _EXIT,
            "claude-code",
            binary="node_modules/@anthropic-ai/claude-code-linux-x64/claude",
            calls=reading | looking,
            command=True,
            hides=(UNKNOWN,),
            waits=True,
        ),
        "codex": Kind(
            "Codex",
            "codex",
            "claude",
            _EXIT,
            "codex",
            binary="node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex",
            calls=shell,
            command=True,
            hides=(BUDGET,),
            waits=True,
        ),
        "opencode": Kind(
            "opencode",
            "opencode",
            "claude",
            _EXIT,
            "opencode",
            arguments=_BY_NAME,
            binary="node_modules/opencode-linux-x64/bin/opencode",
            calls=opencode,
            command=True,
            waits=True,
        ),
        "aider": Kind(
            "aider",
            "aider",
            "claude",
            dict.fromkeys(_EXIT, _GOOD_END),
            "aider",
            arguments=_BY_NAME,
            command=True,
            without=(TOOLS,),
        ),
    }


KINDS = [kind for name in INSTALLED for kind in (_TESTED if name == "tests" else [_larger()[name]])]
