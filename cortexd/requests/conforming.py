"""Whether an answer is in the form that was asked for, as far as that is certain: no whole JSON Schema validator."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cortexd.domain.messages import Options, ToolCall

_MOST_CHARACTERS = 128 * 1024
_MOST_LOOKS = 10_000  # at a value, or at what it may be: a few milliseconds
_DEEPEST = 32
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "number": (int, float),
    "integer": (int, float),
}


def keeps_to_schema(content: str, schema: str) -> bool | None:
    """False where `content` is no JSON, or contradicts the schema's type, enum, const, required, properties or items;
    other keywords are not looked at. None where there is too much to look at."""
    if max(len(content), len(schema)) > _MOST_CHARACTERS:
        return None
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    looks = 0
    for contradicts, cost in _checks(value, json.loads(schema), _DEEPEST):
        looks += cost
        if contradicts:
            return False
        if looks > _MOST_LOOKS:
            return None
    return True


def calls_known_tools(calls: tuple[ToolCall, ...], options: Options) -> bool | None:
    """Whether each call names a tool of the request, with arguments that keep to its parameters; None without calls."""
    parameters = {tool.name: tool.parameters for tool in options.tools}
    if any(call.name not in parameters for call in calls):
        return False
    checked = [keeps_to_schema(call.arguments, parameters[call.name]) for call in calls]
    if not calls or None in checked:
        return None
    return all(checked)


_Checks = Iterator[tuple[bool, int]]
"""Whether a value contradicts a keyword, and the most that the next look costs."""


def _checks(value: Any, schema: Any, depth: int) -> _Checks:
    if not isinstance(schema, dict) or not depth:
        return
    yield not _of_type(value, schema.get("type")), 1
    choices = schema.get("enum")
    if isinstance(choices, list):
        yield False, len(choices)
        yield not any(_same(value, item) for item in choices), 1
    if "const" in schema:
        yield not _same(value, schema["const"]), 1
    if isinstance(value, dict):
        yield from _in_object(value, schema, depth)
    if isinstance(value, list) and "items" in schema:
        for item in value:
            yield from _checks(item, schema["items"], depth - 1)


def _in_object(value: dict[str, Any], schema: dict[str, Any], depth: int) -> _Checks:
    required, properties = schema.get("required"), schema.get("properties")
    if isinstance(required, list):
        yield False, len(required)
        yield any(isinstance(key, str) and key not in value for key in required), 1
    if isinstance(properties, dict):
        for key, item in value.items():
            yield from _checks(item, properties.get(key), depth - 1)


def _of_type(value: Any, wanted: Any) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(names, list) or not names or any(name not in _KINDS for name in map(str, names)):
        return True  # none, or one that nobody knows
    return any(_is(value, name) for name in names)


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool) and name != "boolean":
        return False
    whole = name != "integer" or not isinstance(value, float) or value.is_integer()
    return isinstance(value, _KINDS[name]) and whole


def _same(one: Any, other: Any) -> bool:
    """As JSON has it: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
