"""config.toml and conf.d/*.toml over the built-in defaults, each value checked against its setting's type.

Later files stand above earlier ones, key by key. What is refused names the file, the key and what was expected.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cortexd.config.coerce import Expectation, coerce
from cortexd.config.defaults import builtin_config
from cortexd.config.settings import Config, ProviderSettings
from cortexd.errors import ConfigError

DEFAULT_PATH = Path("/etc/cortexd/config.toml")
_NOT_IN_FILES = frozenset({"name", "key", "sources"})
_MAX_ANSWER_BYTES = 30 * 1024 * 1024  # the bus drops a service that sends a message over 32 MiB
_NEW_PROVIDER_NEEDS = ("api", "base_url", "model")
Table = Mapping[str, Any]


def load_config(path: Path | None = None) -> Config:
    """Read `path` (default /etc/cortexd/config.toml, which may be absent) and conf.d/*.toml beside it.

    Keys are not read here (see credentials). Raises ConfigError.
    """
    main = path or DEFAULT_PATH
    files = [main] if path is not None or main.exists() else []
    files += sorted(main.parent.glob("conf.d/*.toml"))
    config = builtin_config()
    tables = [(file, _read(file)) for file in files]
    for file, table in tables:
        config = _apply(config, table, file)
    if fault := _fault_of_whole(config):
        setting, words = fault
        raise ConfigError(f"{_setter(tables, setting)}{setting}: {words}")
    return dataclasses.replace(config, sources=tuple(files))


def _read(file: Path) -> Table:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: there is no such file; name another with --config, or leave the option out"
        ) from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: is not valid TOML: {error}") from None


def _apply(config: Config, table: Table, file: Path) -> Config:
    sections = [item.name for item in dataclasses.fields(Config) if item.name not in _NOT_IN_FILES]
    changes: dict[str, Any] = {}
    for key, value in table.items():
        if key not in sections:
            raise ConfigError(_unknown(file, key, sections))
        if not isinstance(value, dict):
            raise ConfigError(f"{file}: {key}: expected a table ([{key}]), got {_kind(value)}")
        if key == "providers":
            changes[key] = _providers(config.providers, value, file)
        else:
            changes[key] = _section(getattr(config, key), value, file, key)
    return dataclasses.replace(config, **changes)


def _providers(known: Mapping[str, ProviderSettings], table: Table, file: Path) -> dict[str, ProviderSettings]:
    providers = dict(known)
    for name, value in table.items():
        where = f"providers.{name}"
        if not isinstance(value, dict):
            raise ConfigError(f"{file}: {where}: expected a table ([{where}]), got {_kind(value)}")
        if not (name.isascii() and name.replace("_", "").replace("-", "").isalnum() and len(name) <= 64):
            raise ConfigError(f"{file}: {where}: expected a name of letters, digits, '_' and '-', got {name!r}")
        base = providers.get(name)
        if base is None:
            missing = [key for key in _NEW_PROVIDER_NEEDS if key not in value]
            if missing:
                raise ConfigError(f"{file}: {where}: a new provider needs {', '.join(missing)} as well")
            base = ProviderSettings(name=name, api="", base_url="", model="")
        providers[name] = _section(base, value, file, where)
    return providers


def _section(current: Any, table: Table, file: Path, where: str) -> Any:
    """`current` (a settings structure) with the table's values over it."""
    known = [item.name for item in dataclasses.fields(current) if item.name not in _NOT_IN_FILES]
    changes: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(_secret_hint(file, where, key) or _unknown(file, f"{where}.{key}", known))
        try:
            changes[key] = coerce(type(current), key, value, getattr(current, key))
        except Expectation as expected:
            got = expected.got if expected.path else value
            raise ConfigError(
                f"{file}: {where}.{expected.path or key}: expected {expected}, got {_kind(got)}"
            ) from None
    return dataclasses.replace(current, **changes)


def _secret_hint(file: Path, where: str, key: str) -> str | None:
    if not where.startswith("providers.") or key not in ("key", "api_key", "token", "secret"):
        return None
    return (
        f"{file}: {where}.{key}: keys do not belong in the configuration; put the key into a file of mode 0600 and "
        f"name it with key_file, or use a systemd credential or an environment variable"
    )


def _unknown(file: Path, path: str, known: list[str]) -> str:
    near = get_close_matches(path.rpartition(".")[2], known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(sorted(known))}"
    return f"{file}: {path}: unknown setting{hint}"


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _fault_of_whole(config: Config) -> tuple[str, str] | None:
    """What no single value can tell: the setting at fault, and what was expected of it."""
    named = {f"routing.table.{task}": provider for task, provider in config.routing.table.items()}
    named["routing.default_provider"] = config.routing.default_provider
    for path, provider in named.items():
        if provider not in config.providers:
            return path, f"unknown provider {provider!r}; expected one of {', '.join(config.providers)}"
    if config.limits.default_deadline_ms > config.limits.max_deadline_ms:
        return "limits.default_deadline_ms", "expected at most limits.max_deadline_ms"
    if config.limits.max_answer_bytes > _MAX_ANSWER_BYTES:
        return "limits.max_answer_bytes", f"expected at most {_MAX_ANSWER_BYTES}: the bus carries no more"
    return None


def _setter(tables: Sequence[tuple[Path, Table]], setting: str) -> str:
    """The last file that says something about a setting, as the beginning of an error; nothing for a default."""
    for file, table in reversed(tables):
        value: Any = table
        for key in setting.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            return f"{file}: "
    return ""
