"""The configuration in force as TOML that means the same, with a comment where a setting is not the default."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from cortexd.config import Config, Secret
from cortexd.domain.targets import Target

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")
_LEFT_OUT = frozenset({"name", "key", "password"})
_WITHOUT_PASSWORD = (("ledger", "url"),)  # else it was refused
Table = dict[str, Any]


def settings_as_toml(config: Config) -> str:
    """What has no value is left out. Keys are not in it, nor passwords of addresses, nor what headers say."""
    said = [(file, tomllib.loads(file.read_text("utf-8"))) for file in config.sources]
    table = {key: value for key, value in _plain(config).items() if key != "sources"}
    return "\n".join(_lines(table, (), said)).strip()


def _plain(settings: Any) -> Any:
    """Structures as tables, without what is secret or empty."""
    if isinstance(settings, Secret | Target):
        return str(settings)
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        pairs = ((item.name, getattr(settings, item.name)) for item in dataclasses.fields(settings))
        return {name: _plain(value) for name, value in pairs if value not in (None, {}) and name not in _LEFT_OUT}
    if isinstance(settings, Mapping) and list(settings) == [None]:  # a model's quality for every task type
        return settings[None]
    if isinstance(settings, Mapping):
        return {str(key): _plain(value) for key, value in settings.items()}
    if isinstance(settings, frozenset):
        return sorted(_plain(item) for item in settings)
    if isinstance(settings, tuple):
        return [_plain(item) for item in settings]
    return settings


def _lines(table: Table, path: tuple[str, ...], said: list[tuple[Path, Table]]) -> Iterator[str]:
    """The table's own values, then the tables in it."""
    values = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if path and (values or (not table and _source(path, said))):
        yield ""
        yield f"[{'.'.join(map(_key, path))}]"
    for key, value in values.items():
        source = _source((*path, key), said)
        shown = json.dumps(value) if (*path, key) in _WITHOUT_PASSWORD else _value(value)
        yield f"{_key(key)} = {shown}" + (f"  # {source}" if source else "")
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _lines(value, (*path, key), said)


def _source(path: tuple[str, ...], said: list[tuple[Path, Table]]) -> Path | None:
    """The last file that says this; None for a built-in default."""
    for file, table in reversed(said):
        value: Any = table
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            return file
    return None


def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_value(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(_PASSWORD.sub("(hidden)@", str(value)), ensure_ascii=False).replace("\x7f", "\\u007f")
