"""Small checks for JSON requests, combined into tables by the rules of each vendor.

A check takes (value, path) and raises `Refused` when the value is not what the vendor accepts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Path = tuple[str | int, ...]
Check = Callable[[Any, Path], None]

_TYPE_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


class Refused(Exception):
    """The request is refused: HTTP `status`, where (`path`), and why. `kind` lets a vendor choose its own words."""

    def __init__(self, path: Path, problem: str, *, status: int = 400, kind: str = "invalid") -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem
        self.status = status
        self.kind = kind


def anything(_value: Any, _path: Path) -> None:
    """Accept any JSON value."""


def _typed(value: Any, path: Path, expected: type) -> None:
    # bool is an int in Python, not in JSON.
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise Refused(path, f"Input should be a valid {_TYPE_NAMES[expected]}")


def boolean(value: Any, path: Path) -> None:
    _typed(value, path, bool)


def any_object(value: Any, path: Path) -> None:
    _typed(value, path, dict)


def json_schema(value: Any, path: Path) -> None:
    """One whose keywords hold what JSON Schema's draft 2020-12 lets them hold, as far down as anybody looks."""
    any_object(value, path)
    _schema(value, path)


def _schema(value: Any, path: Path) -> None:
    if not isinstance(value, dict):
        _of(value, path, bool, dict)
        return
    for keyword, item in value.items():
        if check := _KEYWORDS.get(keyword):
            check(item, (*path, keyword))


def _of(value: Any, path: Path, *kinds: type) -> None:
    if not isinstance(value, kinds):
        raise Refused(path, "JSON schema is invalid. It must match JSON Schema draft 2020-12")


def _schemas_by_name(value: Any, path: Path) -> None:
    _of(value, path, dict)
    for name, item in value.items():
        _schema(item, (*path, name))


def _schemas(value: Any, path: Path) -> None:
    _of(value or None, path, list)
    for index, item in enumerate(value):
        _schema(item, (*path, index))


def _names(value: Any, path: Path) -> None:
    _of(value, path, list)
    for index, item in enumerate(value):
        _of(item, (*path, index), str)


def _type_names(value: Any, path: Path) -> None:
    _names([value] if isinstance(value, str) else value or None, path)


def _list(value: Any, path: Path) -> None:
    _of(value, path, list)


_KEYWORDS: Mapping[str, Check] = {
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions"), _schemas_by_name),
    **dict.fromkeys(("items", "additionalProperties", "not", "if", "then", "else"), _schema),
    **dict.fromkeys(("anyOf", "oneOf", "allOf"), _schemas),
    **dict.fromkeys(("enum", "examples"), _list),
    "required": _names,
    "type": _type_names,
}


def text(*, least: int = 0, most: int | None = None, pattern: str | None = None, problem: str | None = None) -> Check:
    """A string of `least` to `most` characters that matches `pattern`; `problem` replaces the usual words."""
    compiled = re.compile(pattern) if pattern else None

    def check(value: Any, path: Path) -> None:
        _typed(value, path, str)
        if len(value) < least:
            raise Refused(path, problem or f"String should have at least {least} character")
        if most is not None and len(value) > most:
            raise Refused(path, problem or f"String should have at most {most} characters")
        if compiled and not compiled.fullmatch(value):
            raise Refused(path, problem or f"String should match pattern '{pattern}'")

    return check


def integer(least: int | None = None, most: int | None = None) -> Check:
    return _numeric(int, least, most)


def number(least: float | None = None, most: float | None = None) -> Check:
    return _numeric(float, least, most)


def _numeric(kind: type, least: float | None, most: float | None) -> Check:
    def check(value: Any, path: Path) -> None:
        numeric = isinstance(value, (int, kind)) and not isinstance(value, bool)
        if not numeric:
            raise Refused(path, f"Input should be a valid {_TYPE_NAMES[kind]}")
        if least is not None and value < least:
            raise Refused(path, f"Input should be greater than or equal to {least}")
        if most is not None and value > most:
            raise Refused(path, f"Input should be less than or equal to {most}")

    return check


def one_of(*words: Any) -> Check:
    expected = " or ".join(f"'{word}'" for word in words)

    def check(value: Any, path: Path) -> None:
        if not any(value is word or (isinstance(value, str) and value == word) for word in words):
            raise Refused(path, f"Input should be {expected}")

    return check


def nullable(inner: Check) -> Check:
    def check(value: Any, path: Path) -> None:
        if value is not None:
            inner(value, path)

    return check


def array(inner: Check, *, least: int = 0, most: int | None = None) -> Check:
    def check(value: Any, path: Path) -> None:
        _typed(value, path, list)
        if len(value) < least:
            raise Refused(path, f"List should have at least {least} item after validation, not {len(value)}")
        if most is not None and len(value) > most:
            raise Refused(path, f"List should have at most {most} items after validation, not {len(value)}")
        for index, item in enumerate(value):
            inner(item, (*path, index))

    return check


def text_or(other: Check, string: Check) -> Check:
    """`string` for strings, `other` for everything else."""

    def check(value: Any, path: Path) -> None:
        (string if isinstance(value, str) else other)(value, path)

    return check


def obj(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with exactly these fields."""
    known = {**required, **(optional or {})}

    def check(value: Any, path: Path) -> None:
        _typed(value, path, dict)
        for name in value:
            if name not in known:
                raise Refused((*path, name), "Extra inputs are not permitted", kind="unknown")
        for name in required:
            if name not in value:
                raise Refused((*path, name), "Field required", kind="missing")
        for name, item in value.items():
            known[name](item, (*path, name))

    return check


def tagged(tag: str, kinds: Mapping[str, Check]) -> Check:
    """An object whose field `tag` says which of `kinds` it is."""
    expected = ", ".join(f"'{kind}'" for kind in kinds)

    def check(value: Any, path: Path) -> None:
        _typed(value, path, dict)
        if tag not in value:
            raise Refused((*path, tag), "Field required", kind="missing")
        kind = value[tag]
        inner = kinds.get(kind) if isinstance(kind, str) else None
        if inner is None:
            raise Refused(
                path, f"Input tag '{kind}' found using '{tag}' does not match any of the expected: {expected}"
            )
        inner(value, path)

    return check


def closed_schema(schema: Any, path: Path, *, all_required: bool) -> None:
    """Structured output takes only schemas whose objects all say `additionalProperties: false`.

    With `all_required` (OpenAI's strict mode) `required` must list every property too.
    """
    if isinstance(schema, list):
        for index, item in enumerate(schema):
            closed_schema(item, (*path, index), all_required=all_required)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and "properties" in schema:
        if schema.get("additionalProperties") is not False:
            raise Refused(path, "For 'object' type, 'additionalProperties' must be explicitly set to false")
        if all_required and set(schema.get("required", ())) != set(schema["properties"]):
            raise Refused(path, "'required' is required to be an array including every key in properties")
    for name, item in schema.items():
        if name not in ("enum", "const", "default", "examples"):
            closed_schema(item, (*path, name), all_required=all_required)
