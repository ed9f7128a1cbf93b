"""A JSON Schema in the subset that Anthropic's `output_config.format` takes; never one that means something else.

The SDK's own `transform_schema` (anthropic 2.12) closes every object, so that a map can only be empty, drops what
stands beside `$ref` and `anyOf`, leaves `definitions` behind, and fails on lists of types. So this is written anew:

- An answer to the adapted schema is one to the caller's, but for the keywords in `lost`: bounds, patterns, formats and
  the like, which the vendor does not enforce. They go into the description, for the model to read.
- A closed object is as good as an open one with the same properties; one without properties, or with a schema for
  further ones, is not. Then there is no form, and nor is there for recursion, references elsewhere, and values of any
  kind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]

_FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"])
_KEPT_NOTES = ("title", "description")
_NOTES = frozenset({"default", "examples", "$schema", "$comment", "deprecated", "readOnly", "writeOnly"})
# keywords whose loss changes what an answer can be, and that have no form here
_NO_FORM = frozenset(
    {"patternProperties", "prefixItems", "additionalItems", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef"}
)
_OF_TYPE = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems"}),
    "string": frozenset({"format"}),
}
_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_ALTERNATIVES = ("anyOf", "oneOf")
_DEFINITIONS = ("$defs", "definitions")
_MAX_DEPTH = 64


class _NoForm(Exception):
    """The vendor's subset cannot say it."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """`lost`: keywords of the caller's that nobody enforces now, each once, in alphabetical order."""

    schema: Schema
    lost: tuple[str, ...]


def adapted(schema: Any) -> Adapted | None:
    """The schema in the vendor's subset; None where it has no form there. Pure."""
    writer = _Writer(schema if isinstance(schema, dict) else {})
    try:
        written = writer.document(schema)
    except (_NoForm, RecursionError):
        return None
    return Adapted(written, tuple(sorted(writer.lost)))


@dataclass(slots=True)
class _Writer:
    root: Mapping[str, Any]
    lost: set[str] = field(default_factory=set)
    _definitions: dict[str, Schema] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)

    def document(self, schema: Any) -> Schema:
        body = {key: value for key, value in _object(schema).items() if key not in _DEFINITIONS}
        body.pop("$id", None)
        written = self.write(body, 0)
        return {"$defs": self._definitions, **written} if self._definitions else written

    def write(self, schema: Any, depth: int) -> Schema:
        rest = dict(_object(schema))
        if depth > _MAX_DEPTH or rest.keys() & _NO_FORM or rest.keys() & {"$id", *_DEFINITIONS}:
            raise _NoForm
        notes = {key: rest.pop(key) for key in _KEPT_NOTES if isinstance(rest.get(key), str)}
        for key in _NOTES & rest.keys():
            del rest[key]
        return self._noted(self._said(rest, depth), notes, rest)

    def _said(self, rest: Schema, depth: int) -> Schema:
        """What the schema says in one of the vendor's forms, taken out of `rest`."""
        if "$ref" in rest:
            return self._alone(rest, self._reference(rest.pop("$ref"), depth))
        for key in (*_ALTERNATIVES, "allOf"):
            if key in rest:
                return self._alone(rest, self._variants(key, rest.pop(key), depth))
        if "enum" in rest or "const" in rest:
            return _values(rest)
        kinds = _kinds(rest)
        if len(kinds) == 1:
            return self._typed(kinds[0], rest, depth)
        own = {kind: {key: rest.pop(key) for key in keys & rest.keys()} for kind, keys in _OF_TYPE.items()}
        return {"anyOf": [self._noted(self._typed(kind, part, depth), {}, part)
                          for kind in kinds for part in [own.get(kind, {})]]}  # fmt: skip

    def _alone(self, rest: Schema, said: Schema) -> Schema:
        """Beside `$ref` and alternatives nothing can stand that narrows them, but a type that they have anyhow."""
        kind = rest.pop("type", None)
        if kind is not None and not self._has_type(said, kind):
            raise _NoForm
        if rest.keys() & (set().union(*_OF_TYPE.values()) | {"enum", "const", "allOf", *_ALTERNATIVES}):
            raise _NoForm
        return said

    def _has_type(self, said: Schema, kind: Any) -> bool:
        if "$ref" in said:
            return self._has_type(self._definitions.get(said["$ref"].rpartition("/")[2], {}), kind)
        if "anyOf" in said:
            return all(self._has_type(variant, kind) for variant in said["anyOf"])
        return bool(said.get("type") == kind)

    def _reference(self, target: Any, depth: int) -> Schema:
        parts = target.split("/") if isinstance(target, str) else []
        if len(parts) != 3 or parts[0] != "#" or parts[1] not in _DEFINITIONS:
            raise _NoForm
        name = parts[2].replace("~1", "/").replace("~0", "~")
        definitions = self.root.get(parts[1])
        if not isinstance(definitions, Mapping) or name not in definitions or name in self._open or "%" in name:
            raise _NoForm
        key = parts[2] if parts[1] == "$defs" or name not in _object(self.root.get("$defs", {})) else f"{parts[2]}_"
        if key not in self._definitions:
            self._open.append(name)
            written = self.write(definitions[name], depth + 1)
            self._open.pop()
            self._definitions[key] = written
        return {"$ref": f"#/$defs/{key}"}

    def _variants(self, key: str, variants: Any, depth: int) -> Schema:
        if not isinstance(variants, list) or not variants:
            raise _NoForm
        if len(variants) == 1:
            return self.write(variants[0], depth + 1)
        if key == "allOf":  # closed, no two objects can hold at once
            raise _NoForm
        if key == "oneOf":
            self.lost.add(key)
        return {"anyOf": [self.write(variant, depth + 1) for variant in variants]}

    def _typed(self, kind: str, rest: Schema, depth: int) -> Schema:
        if kind == "object":
            return self._closed(rest, depth)
        if kind == "array":
            said: Schema = {"type": kind, "items": self.write(rest.pop("items", None), depth + 1)}
            if rest.get("minItems") in (0, 1):
                said["minItems"] = rest.pop("minItems")
            return said
        if kind == "string" and rest.get("format") in _FORMATS:
            return {"type": kind, "format": rest.pop("format")}
        return {"type": kind}

    def _closed(self, rest: Schema, depth: int) -> Schema:
        properties, further = rest.pop("properties", {}), rest.pop("additionalProperties", None)
        if further is True:
            self.lost.add("additionalProperties")
        if isinstance(further, Mapping) or (not properties and further is not False):
            raise _NoForm
        names = rest.pop("required", [])
        if not isinstance(names, list) or not set(names) <= _object(properties).keys():
            raise _NoForm
        said: Schema = {
            "type": "object",
            "properties": {name: self.write(value, depth + 1) for name, value in properties.items()},
            "additionalProperties": False,
        }
        return {**said, "required": names} if names else said

    def _noted(self, said: Schema, notes: Schema, rest: Schema) -> Schema:
        """With its description, and in it what else there was."""
        self.lost |= rest.keys()
        if rest:
            words = ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in rest.items())
            notes = {**notes, "description": "\n\n".join([*filter(None, [notes.get("description")]), f"{{{words}}}"])}
        return {**said, **notes} if "$ref" not in said else said


def _object(value: Any) -> Mapping[str, Any]:
    """A schema that says anything: `true`, and one of nothing but notes, take every value."""
    if not isinstance(value, Mapping):
        raise _NoForm
    return value


def _kinds(rest: Schema) -> list[str]:
    given = rest.pop("type", None)
    if given is None:  # whoever names properties means an object
        given = next((kind for kind in ("object", "array") if _OF_TYPE[kind] & rest.keys()), None)
    kinds = given if isinstance(given, list) else [given]
    if not kinds or not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
        raise _NoForm
    return list(dict.fromkeys(kinds))


def _values(rest: Schema) -> Schema:
    """`enum` or `const`, of the values that `type` allows."""
    key = "const" if "const" in rest else "enum"
    if {"enum", "const"} <= rest.keys():
        raise _NoForm
    given = [rest.pop("const")] if key == "const" else rest.pop("enum")
    kinds = _kinds(rest) if "type" in rest else None
    if not isinstance(given, list):
        raise _NoForm
    fitting = [value for value in given if kinds is None or any(_is(value, kind) for kind in kinds)]
    if not fitting or any(isinstance(value, list | dict) for value in fitting):
        raise _NoForm
    return {key: fitting[0] if key == "const" else fitting}


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool) or value is None:
        return kind == ("null" if value is None else "boolean")
    if isinstance(value, int | float):
        return kind == "number" or (kind == "integer" and value == int(value))
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return kind == names[type(value)]
