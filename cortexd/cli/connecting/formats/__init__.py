"""Formats of settings files: each reads a text, and makes the least change that puts a value in or takes it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cortexd.cli.connecting.formats import jsonc, toml, yaml
from cortexd.cli.connecting.places import Place


@dataclass(frozen=True, slots=True)
class Format:
    """`parse(text)`: its data, None for an empty text; raises Unreadable. `put(text, place, value)` and
    `take(text, place)`: the changed text; they raise CannotEdit. What they do is checked by whoever calls them."""

    name: str
    parse: Callable[[str], Any]
    put: Callable[[str, Place, Any], str]
    take: Callable[[str, Place], str]


JSON = Format("JSON", jsonc.parse, jsonc.put, jsonc.take)
TOML = Format("TOML", toml.parse, toml.put, toml.take)
YAML = Format("YAML", yaml.parse, yaml.put, yaml.take)
FORMATS = {form.name: form for form in (JSON, TOML, YAML)}
