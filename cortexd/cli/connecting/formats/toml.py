"""TOML: keys of the top go before the first table, tables to the end."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from cortexd.cli.connecting.formats.text import appended, line_end, next_line, spliced
from cortexd.cli.connecting.places import ABSENT, CannotEdit, Place, Unreadable, named, same, value_at, with_value

_HEADER = re.compile(r"^[ \t]*\[.*$", re.MULTILINE)
_VALUE = r"""(?P<value>"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s#"'\[{]+)(?=[ \t]*(?:#[^\n]*)?\r?$)"""


def parse(text: str) -> Any:
    """None for a text that says nothing. Raises Unreadable."""
    if not text.strip():
        return None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(0, str(error)) from None  # which names the line
    except RecursionError:
        raise Unreadable(0, "it is nested too deeply") from None


def put(text: str, place: Place, value: Any) -> str:
    """`text` with `value` there. Raises CannotEdit."""
    wanted = with_value(parse(text), place, value)
    for candidate in _with(text, place, value):
        if _says(candidate, wanted):
            return candidate
    raise CannotEdit(named(place))


def take(text: str, place: Place) -> str:
    """`text` without what is there. Raises CannotEdit."""
    for candidate in _without(text, place):
        if _says(candidate, None, place):
            return candidate
    raise CannotEdit(named(place))


def _says(text: str, wanted: Any, absent: Place = ()) -> bool:
    try:
        data = parse(text)
    except Unreadable:
        return False
    return value_at(data, absent) is ABSENT if absent else same(data, wanted)


def _with(text: str, place: Place, value: Any) -> Iterator[str]:
    """Each way that there is to say it; which is right depends on what the text's lines are part of."""
    if isinstance(value, Mapping):
        block = _table(place, value)
        yield appended(text, f"\n{block}" if text.strip() else block)
        return
    if len(place) != 1:
        return
    for found in _assignments(text, str(place[0])):
        yield spliced(text, found.start("value"), found.end("value"), _literal(value))
    line = f"{_key(place)} = {_literal(value)}"
    headers = [found.start() for found in _HEADER.finditer(text)]
    if not headers:
        yield appended(text, line)
    for position in [*headers, 0]:
        yield _before(text, position, line)


def _without(text: str, place: Place) -> Iterator[str]:
    for found in _assignments(text, str(place[-1])) if len(place) == 1 else ():
        yield spliced(text, found.start(), next_line(text, found.end()), "")
    header = re.compile(rf"^\[{re.escape(_key(place))}\][ \t]*(?:#[^\n]*)?\r?$", re.MULTILINE)
    for found in header.finditer(text):
        following = _HEADER.search(text, found.end())
        end = following.start() if following else len(text)
        start = found.start()
        yield spliced(text, len(text[:start].rstrip("\r\n")) if not following else start, end, "")


def _assignments(text: str, key: str) -> Iterator[re.Match[str]]:
    pattern = rf"""^[ \t]*(?:{re.escape(key)}|"{re.escape(key)}")[ \t]*=[ \t]*{_VALUE}"""
    return re.finditer(pattern, text, re.MULTILINE)


def _before(text: str, position: int, line: str) -> str:
    """`line` before what stands at `position`, and before the comment and the blank lines above that."""
    head = text[:position].splitlines(keepends=True)
    while head and head[-1].lstrip().startswith("#"):
        head.pop()
    while head and not head[-1].strip():
        head.pop()
    position, end = sum(map(len, head)), line_end(text)
    gap = end if not head and text else ""
    return spliced(text, position, position, f"{line}{end}{gap}")


def _table(place: Place, values: Mapping[str, Any]) -> str:
    return "\n".join([f"[{_key(place)}]", *(f"{_key((key,))} = {_literal(item)}" for key, item in values.items())])


def _key(place: Place) -> str:
    steps = map(str, place)
    return ".".join(step if re.fullmatch(r"[A-Za-z0-9_-]+", step) else json.dumps(step) for step in steps)


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key((key,))} = {_literal(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
