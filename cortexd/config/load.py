"""config.toml and conf.d/*.toml over the built-in defaults, a fleet's settings above all of them.

Each value is checked against its setting's type and bounds. Later files stand above earlier ones, key by key. What is
refused names the file, the key and what was expected; all of it is told at once.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from cortexd.config.addresses import on_this_machine, parse_address
from cortexd.config.api_kinds import API_KINDS
from cortexd.config.coerce import coerce
from cortexd.config.defaults import builtin_config
from cortexd.config.files import Unusable, find_files, is_there, read_file
from cortexd.config.fleet import MAX_TEXT_BYTES, is_kept, kept_at, named, parted
from cortexd.config.names import fault_of_name
from cortexd.config.presets import presets
from cortexd.config.problems import Expectation, Problems, UnknownSetting, unknown_setting
from cortexd.config.replicas import located, resolved, strayed
from cortexd.config.settings import Config, ProviderSettings
from cortexd.config.whole import faults_of_whole
from cortexd.domain.fleet import Revision
from cortexd.errors import ConfigError, Problem

DEFAULT_PATH = Path("/etc/cortexd/config.toml")
_NOT_IN_FILES = frozenset({"name", "key", "password", "sources"})
_NEW_PROVIDER_NEEDS = ("api", "base_url", "model")
_SECRETS = ("key", "api_key", "token", "secret")
Table = Mapping[str, Any]


def load_config(path: Path | None = None, fleet: Revision | None = None) -> Config:
    """Read `path` (default /etc/cortexd/config.toml, which may be absent) and conf.d/*.toml beside it; where the
    machine shares a ledger, the fleet's settings above them: the revision that it keeps, or `fleet` in its place.

    Keys are not read here (see credentials). Raises ConfigError with every problem.
    """
    problems = Problems()
    files = find_files(path or DEFAULT_PATH, path is not None, problems)
    tables = {file: _parsed(file, problems) for file in files}
    config = builtin_config()
    for file, table in tables.items():
        config = _Reading(file, problems).config(config, table)
    config = _with_fleet(config, fleet, tables, problems)
    problems.raise_any()
    config = dataclasses.replace(config, providers={name: resolved(item) for name, item in config.providers.items()})
    for setting, words in faults_of_whole(config):
        problems.add(_setter(tables, setting), setting, words)
    problems.raise_any()
    return dataclasses.replace(config, sources=tuple(file for file in tables if file.is_absolute()))


def _with_fleet(config: Config, given: Revision | None, tables: dict[Path, Table], problems: Problems) -> Config:
    """`config` with the fleet's settings above it, which are one more of the `tables`."""
    kept = kept_at(config.ledger)
    with problems.collected():
        if kept is None or (given is None and not is_kept(kept)):
            return config
        file = kept if given is None else named(given.number)
        data = None if given is None else given.text.encode()
        if data is not None and len(data) > MAX_TEXT_BYTES:  # kept, it could not be read again
            raise ConfigError(Problem(str(file), "", f"is larger than {MAX_TEXT_BYTES} bytes"))
        tables[file] = table = _parsed(file, problems, data)
        common, own = parted(table)
        for key, words in own.items():
            problems.add(file, key, words)
        return _Reading(file, problems).config(config, common)
    return config


def _parsed(file: Path, problems: Problems, data: bytes | None = None) -> Table:
    """What the file says, or `data` in its name; nothing where it cannot be read, which is a problem."""
    try:
        return tomllib.loads((read_file(file) if data is None else data).decode("utf-8"))
    except Unusable as reason:
        with problems.collected():
            missing = not is_there(file)
            hint = "there is no such file; name another with --config, or leave the option out"
            raise ConfigError(Problem(str(file), "", hint) if missing else reason.of(file)) from None
    except UnicodeDecodeError:
        problems.add(file, "", "is not UTF-8 text")
    except (ValueError, RecursionError) as error:  # tomllib lets those of int() through
        problems.add(file, "", f"is not valid TOML: {error}")
    return {}


@dataclass(frozen=True, slots=True)
class _Reading:
    """One file's tables over the settings so far. What is wrong is noted, and left out."""

    file: Path
    problems: Problems

    def config(self, config: Config, table: Table) -> Config:
        sections = _names(config)
        changes: dict[str, Any] = {}
        for key, value in table.items():
            if key not in sections:
                self._refuse(key, unknown_setting(key, sections))
            elif not isinstance(value, dict):
                self._refuse(key, f"expected a table ([{key}]), got {_shown(value)}")
            elif key == "providers":
                changes[key] = self._providers(config.providers, value)
            else:
                changes[key] = self._section(getattr(config, key), value, key)
        return dataclasses.replace(config, **changes)

    def _providers(self, known: Mapping[str, ProviderSettings], table: Table) -> dict[str, ProviderSettings]:
        providers = dict(known)
        for name, value in table.items():
            where = f"providers.{name}"
            if not isinstance(value, dict):
                self._refuse(where, f"expected a table ([{where}]), got {_shown(value)}")
            elif fault := fault_of_name(name):
                self._refuse(where, fault)
            elif base := self._preset(name, value, where) or providers.get(name):
                providers[name] = self._provider(base, value, where)
            elif "preset" in value:
                continue  # which was refused
            elif missing := [key for key in _NEW_PROVIDER_NEEDS if not _given(value, key)]:
                self._refuse(where, f"a new provider needs {', '.join(missing)} as well")
            else:
                new = ProviderSettings(name=name, api="", base_url="", model="")
                providers[name] = self._section(new, value, where)
        return providers

    def _preset(self, name: str, value: Table, where: str) -> ProviderSettings | None:
        """What the table's preset makes of it before its other settings; None where it has none."""
        wanted = value.get("preset")
        if wanted is None:
            return None
        preset = presets().get(wanted) if isinstance(wanted, str) else None
        if preset is None:
            self._refuse(f"{where}.preset", f"expected one of {', '.join(presets())}, got {_shown(wanted)}")
            return None
        api = value.get("api")
        base = preset.settings(name, api if isinstance(api, str) and api in API_KINDS else None)
        missing = [key for key in ("base_url", "model") if not getattr(base, key) and not _given(value, key)]
        if missing:
            only = f" speaks {' and '.join(preset.base_url)} alone, and" if "base_url" in missing else ""
            self._refuse(where, f"preset {wanted!r}{only} needs {' and '.join(missing)} as well")
        return base

    def _provider(self, base: ProviderSettings, value: Table, where: str) -> ProviderSettings:
        """An address that is no longer the preset's makes an endpoint elsewhere no local one."""
        read: ProviderSettings = self._section(base, value, where)
        if stray := strayed(read, value):
            self._refuse(f"{where}.base_url", f"expected none, since the replicas have their own, got {stray}")
        implied = read.local and read.preset is not None and "local" not in value
        if implied and "replicas" in value:
            read = dataclasses.replace(read, replicas=tuple(map(located, read.replicas)))
        if not implied or "base_url" not in value:
            return read
        return dataclasses.replace(read, local=on_this_machine(parse_address(read.base_url).host))

    def _section(self, current: Any, table: Table, where: str) -> Any:
        """`current` (a settings structure) with the table's values over it."""
        known = _names(current)
        changes: dict[str, Any] = {}
        for key, value in table.items():
            if key not in known:
                self._refuse(f"{where}.{key}", _secret_hint(f"{where}.{key}") or unknown_setting(key, sorted(known)))
                continue
            try:
                changes[key] = coerce(type(current), key, value, getattr(current, key))
            except UnknownSetting as unknown:
                self._refuse(path := f"{where}.{unknown.path}", _secret_hint(path) or str(unknown))
            except Expectation as expected:
                got = _shown(expected.got if expected.path else value)
                why = f": {expected.why}" if expected.why else ""
                self._refuse(f"{where}.{expected.path or key}", f"expected {expected}, got {got}{why}")
        return dataclasses.replace(current, **changes)

    def _refuse(self, key: str, reason: str) -> None:
        self.problems.add(self.file, key, reason)


def _names(settings: Any) -> list[str]:
    return [item.name for item in dataclasses.fields(settings) if item.name not in _NOT_IN_FILES]


def _given(value: Table, key: str) -> bool:
    """Replicas bring addresses of their own."""
    return key in value or (key == "base_url" and bool(value.get("replicas")))


def _secret_hint(path: str) -> str | None:
    if not path.startswith("providers.") or path.rpartition(".")[2] not in _SECRETS:
        return None
    return (
        "keys do not belong in the configuration; put the key into a file of mode 0600 and "
        "name it with key_file, or use a systemd credential or an environment variable"
    )


def _shown(value: object) -> str:
    """As a file of settings has it, in 60 characters at most."""
    if isinstance(value, dict):
        keys = ", ".join(value)
        return _shortened(f"a table with {keys}") if keys.isprintable() and keys else "a table"
    if isinstance(value, bool | date):
        return str(value).lower()
    try:
        return _shortened(repr(value))
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a number of thousands of digits"


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _setter(tables: dict[Path, Table], setting: str) -> Path | str:
    """The last file that says something about a setting; "" for a default."""
    for file in reversed(tables):
        value: Any = tables[file]
        for key in setting.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            return file
    return ""
