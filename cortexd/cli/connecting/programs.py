"""The programs that can be connected: where each has its settings, and what they must say.

By the programs' documentation and sources in November 2026: Claude Code 2.1, Codex 0.171, VS Code 1.122 and newer, Zed,
aider 0.86, llm 0.36, goose 1, opencode 1.18, Continue's `cn` 1.5. A value that can name a file or a command gets that
instead of the key itself.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortexd.cli.connecting.bridge import Address
from cortexd.cli.connecting.changes import Setting
from cortexd.cli.connecting.formats import JSON, TOML, YAML, Format
from cortexd.cli.connecting.places import Entry, Place

_CONTEXT, _OUTPUT = 128_000, 16_000  # tokens, for programs that must be told


@dataclass(frozen=True, slots=True)
class Home:
    """Where a person's programs look for their settings: by the environment."""

    environment: Mapping[str, str]

    def below(self, *parts: str) -> Path:
        return Path(self.environment.get("HOME") or Path.home(), *parts)

    def config(self, *parts: str) -> Path:
        return self.of("XDG_CONFIG_HOME", self.below(".config")) / Path(*parts)

    def of(self, variable: str, otherwise: Path) -> Path:
        """The directory that `variable` names; what is no whole path counts as not set."""
        named = Path(self.environment.get(variable, ""))
        return named if named.is_absolute() else otherwise


def home_of_user() -> Home:
    return Home(os.environ)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file of a program. `settings` may depend on what it says already, None for nothing."""

    path: Path
    form: Format
    settings: Callable[[Any], Sequence[Setting]]


@dataclass(frozen=True, slots=True)
class Program:
    """`commands`: one of them is in the PATH where it is installed. `then`: what remains to be done, {model} and
    {token_file} filled in. `blocked`: a file beside which ours would be in vain, and why."""

    name: str
    title: str
    commands: tuple[str, ...]
    files: Callable[[Home, Address, str], tuple[Wanted, ...]]
    then: str
    api: str = "openai"
    blocked: Callable[[Home], tuple[Path, str] | None] = lambda home: None  # noqa: ARG005


def _always(*settings: tuple[Place, Any]) -> Callable[[Any], Sequence[Setting]]:
    return lambda data: [Setting(place, value) for place, value in settings]  # noqa: ARG005


def _claude_code(home: Home, address: Address, model: str) -> tuple[Wanted, ...]:
    models = ("ANTHROPIC_MODEL", *(f"ANTHROPIC_DEFAULT_{size}_MODEL" for size in ("HAIKU", "SONNET", "OPUS")))
    settings = _always(
        (("apiKeyHelper",), shlex.join(["cat", str(address.token_file)])),
        (("env", "ANTHROPIC_BASE_URL"), address.url),
        *((("env", name), model) for name in models),
        (
            ("env", "CLAUDE_CODE_MAX_CONTEXT_TOKENS"),
            str(_CONTEXT),
        ),  # it takes a name unknown to it for one of a million
    )
    return (Wanted(home.of("CLAUDE_CONFIG_DIR", home.below(".claude")) / "settings.json", JSON, settings),)


def _codex(home: Home, address: Address, model: str) -> tuple[Wanted, ...]:
    provider = {
        "name": "Cortex",
        "base_url": address.v1,
        "wire_api": "responses",
        "supports_websockets": False,
        "auth": {"command": "cat", "args": [str(address.token_file)]},
    }
    settings = _always(
        (("model",), model),
        (("model_provider",), "cortex"),
        (("model_context_window",), _CONTEXT),
        (("model_providers", "cortex"), provider),
    )
    return (Wanted(home.of("CODEX_HOME", home.below(".codex")) / "config.toml", TOML, settings),)


def _vscode(home: Home, address: Address, model: str) -> tuple[Wanted, ...]:
    portable = home.environment.get("VSCODE_PORTABLE")
    root = Path(portable, "user-data") if portable else home.of("VSCODE_APPDATA", home.config()) / "Code"
    entry = {
        "name": "Cortex",
        "vendor": "customendpoint",
        "apiKey": address.token,
        "apiType": "chat-completions",
        "models": [
            {
                "id": model,
                "name": f"Cortex {model}",
                "url": f"{address.v1}/chat/completions",
                "toolCalling": True,
                "vision": True,
                "maxInputTokens": _CONTEXT - _OUTPUT,
                "maxOutputTokens": _OUTPUT,
            }
        ],
    }
    return (Wanted(root / "User" / "chatLanguageModels.json", JSON, _always(((Entry("name", "Cortex"),), entry))),)


def _zed(home: Home, address: Address, model: str) -> tuple[Wanted, ...]:
    capabilities = {"tools": True, "images": True, "parallel_tool_calls": True, "prompt_cache_key": True}
    known = {"name": model, "display_name": f"Cortex {model}", "max_tokens": _CONTEXT, "capabilities": capabilities}
    provider = {"api_url": address.v1, "available_models": [known]}
    settings = _always(
        (("language_models", "openai_compatible", "Cortex"), provider),
        (("agent", "default_model"), {"provider": "Cortex", "model": model}),
    )
    return (Wanted(home.config("zed", "settings.json"), JSON, settings),)


def _aider(home: Home, address: Address, model: str) -> tuple[Wanted, ...]:
    settings = _always(
        (("model",), f"openai/{model}"),
        (("openai-api-base",), address.v1),
        (("openai-api-key",), address.token),
        (("show-model-warnings",), False),
    )
    return (Wanted(home.below(".aider.conf.yml"), YAML, settings),)


def _llm(home: Home, address: Address, model: str) -> tuple[Wanted, ...]:
    directory = home.of("LLM_USER_PATH", home.config("io.datasette.llm"))
    entry = {
        "model_id": "cortex",
        "model_name": model,
        "api_base": address.v1,
        "api_key_name": "cortex",
        "supports_tools": True,
        "supports_schema": True,
        "vision": True,
    }
    return (
        Wanted(directory / "extra-openai-models.yaml", YAML, _always(((Entry("model_id", "cortex"),), entry))),
        Wanted(directory / "keys.json", JSON, _always((("cortex",), address.token))),
    )


def _goose(home: Home, address: Address, model: str) -> tuple[Wanted, ...]:
    """Older versions know two words at the top; newer ones find those there once, and write them as below."""
    provider = {
        "name": "cortex",
        "engine": "openai",
        "display_name": "Cortex",
        "base_url": f"{address.v1}/chat/completions",
        "models": [{"name": model, "context_limit": _CONTEXT}],
        "headers": {"Authorization": f"Bearer {address.token}"},
        "requires_auth": False,
        "supports_streaming": True,
    }

    def chosen(data: Any) -> Sequence[Setting]:
        if isinstance(data, Mapping) and "GOOSE_PROVIDER" in data and "active_provider" not in data:
            return [Setting(("GOOSE_PROVIDER",), "cortex"), Setting(("GOOSE_MODEL",), model)]
        entry = {"enabled": True, "model": model, "configured": True}
        return [Setting(("active_provider",), "cortex"), Setting(("providers", "cortex"), entry)]

    own = _always(*(((key,), value) for key, value in provider.items()))
    return (
        Wanted(home.config("goose", "custom_providers", "cortex.json"), JSON, own),
        Wanted(home.config("goose", "config.yaml"), YAML, chosen),
    )


def _opencode(home: Home, address: Address, model: str) -> tuple[Wanted, ...]:
    directory = home.config("opencode")
    there = [directory / name for name in ("opencode.jsonc", "opencode.json", "config.json")]
    path = next((file for file in there if file.exists()), directory / "opencode.json")
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Cortex",
        "options": {"baseURL": address.v1, "apiKey": f"{{file:{address.token_file}}}"},
        "models": {model: {"name": f"Cortex {model}", "limit": {"context": _CONTEXT, "output": _OUTPUT}}},
    }
    settings = _always((("model",), f"cortex/{model}"), (("provider", "cortex"), provider))
    return (Wanted(home.of("OPENCODE_CONFIG", path), JSON, settings),)


def _continue(home: Home, address: Address, model: str) -> tuple[Wanted, ...]:
    entry = {
        "name": "Cortex",
        "provider": "openai",
        "model": model,
        "apiBase": address.v1,
        "apiKey": address.token,
        "roles": ["chat", "edit", "apply"],
    }

    def settings(data: Any) -> Sequence[Setting]:
        needed = (("name", "Local"), ("version", "1.0.0"), ("schema", "v1")) if data is None else ()
        head = [Setting((key,), value) for key, value in needed]
        return [*head, Setting(("models", Entry("name", "Cortex")), entry)]

    return (Wanted(_continue_home(home) / "config.yaml", YAML, settings),)


def _continue_home(home: Home) -> Path:
    return home.of("CONTINUE_GLOBAL_DIR", home.below(".continue"))


def _continue_of_old(home: Home) -> tuple[Path, str] | None:
    old, new = (_continue_home(home) / f"config.{ending}" for ending in ("json", "yaml"))
    if new.exists() or not old.exists():
        return None
    return old, "Continue would read it no more if there were a config.yaml beside it"


PROGRAMS = {
    program.name: program
    for program in (
        Program("claude-code", "Claude Code", ("claude",), _claude_code, "Start it anew: claude", "anthropic"),
        Program("codex", "Codex", ("codex",), _codex, "Start it anew: codex"),
        Program(
            "vscode",
            "Visual Studio Code",
            ("code",),
            _vscode,
            "Choose Cortex {model} in the model picker of its chat. Versions before 1.122 do not know it.",
        ),
        Program(
            "zed",
            "Zed",
            ("zed", "zeditor"),
            _zed,
            "Zed keeps keys in the keyring. Paste this one, the text in {token_file}, under Agent settings, LLM "
            "providers, Cortex.",
        ),
        Program("aider", "aider", ("aider",), _aider, "Start it anew: aider"),
        Program("llm", "llm", ("llm",), _llm, "Ask: llm -m cortex. Or always: llm models default cortex"),
        Program("goose", "goose", ("goose",), _goose, "Start it anew: goose session"),
        Program("opencode", "opencode", ("opencode",), _opencode, "Start it anew: opencode"),
        Program(
            "continue",
            "Continue",
            ("cn",),
            _continue,
            "Choose Cortex among its models.",
            blocked=_continue_of_old,
        ),
    )
}
