"""The clients: how each is run, which model it asks, and as what it shows the service's refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.system.clients.scenes import BUDGET, POLKIT, REFUSED, UNKNOWN, UNKNOWN_MODEL

OURS, PYTHON, NODE = "", "python", "node"  # whose packages: cortexd's own, those of script/client-programs
Shown = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Kind:
    """`program` with `arguments` is in tests/system/clients/programs, its packages `where`. `errors`: the exception (or
    exit) and HTTP status by scene. `route`: what the client has before each model's name; `command`: it runs one."""

    name: str
    program: str
    model: str
    errors: Mapping[str, Shown]
    where: str = PYTHON
    route: str = ""
    arguments: tuple[str, ...] = ()
    command: bool = False


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
_BY_NAME = ("claude", REFUSED, UNKNOWN_MODEL)  # for a program that wants its models in a file

KINDS = [
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
