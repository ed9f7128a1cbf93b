"""Putting settings into a text and taking them out again, each step checked by reading the result."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cortexd.cli.connecting.formats import Format
from cortexd.cli.connecting.places import (
    ABSENT,
    CannotEdit,
    Place,
    Unreadable,
    known_depth,
    named,
    same,
    value_at,
    with_value,
    without,
)

_LOOKED_AT = 50  # where a text of ours may stand


@dataclass(frozen=True, slots=True)
class Setting:
    place: Place
    value: Any


@dataclass(frozen=True, slots=True)
class Splice:
    """What one change did to the text: at `at` it put `put` in the place of `out`."""

    at: int
    put: str
    out: str


@dataclass(frozen=True, slots=True)
class Change:
    """`before`: the value that stood there, or ABSENT. `made`: how many steps of `place` were there already, -1 where
    the text said nothing at all."""

    place: Place
    value: Any
    before: Any
    made: int
    splice: Splice


@dataclass(frozen=True, slots=True)
class Undone:
    """`kept`: the changes that somebody has changed since."""

    text: str
    kept: tuple[Change, ...]


def put_all(form: Format, text: str, settings: Iterable[Setting]) -> tuple[str, list[Change]]:
    """The text that says `settings`, and what was changed for it. Raises Unreadable, CannotEdit."""
    changes, original = [], form.parse(text)
    for setting in settings:
        data = form.parse(text)
        before = value_at(data, setting.place)
        if same(before, setting.value):
            continue
        wanted = with_value(data, setting.place, setting.value)
        longer = _checked(form, form.put(text, setting.place, setting.value), wanted, setting.place)
        made = -1 if original is None else known_depth(original, setting.place)
        changes.append(Change(setting.place, setting.value, before, made, _splice(text, longer)))
        text = longer
    return text, changes


def undo(form: Format, text: str, changes: Sequence[Change], *, force: bool) -> Undone:
    """The text as it would be without `changes`; those that say something else by now stay, unless `force`.

    Raises Unreadable, CannotEdit.
    """
    kept = []
    for change in reversed(changes):
        data = form.parse(text)
        now = value_at(data, change.place)
        if now is ABSENT:
            continue
        if same(now, change.value) or force:
            text = _undone(form, text, data, change)
        else:
            kept.append(change)
    return Undone(text, tuple(reversed(kept)))


def says(form: Format, text: str, settings: Iterable[Setting | Change]) -> bool:
    data = form.parse(text)
    return all(same(value_at(data, setting.place), setting.value) for setting in settings)


def _undone(form: Format, text: str, data: Any, change: Change) -> str:
    """By cutting out the very characters, else by the format's own way."""
    if change.before is ABSENT:
        wanted = without(data, change.place, change.made)
    else:
        wanted = with_value(data, change.place, change.before)
    for candidate in _spliced_back(text, change.splice):
        if _reads_as(form, candidate, wanted):
            return candidate
    if change.before is not ABSENT:
        return _checked(form, form.put(text, change.place, change.before), wanted, change.place)
    shorter = form.take(text, change.place)
    for depth in range(len(change.place) - 1, max(change.made, 0), -1):
        if not value_at(form.parse(shorter), change.place[:depth]):
            shorter = form.take(shorter, change.place[:depth])
    return _checked(form, shorter, wanted, change.place)


def _spliced_back(text: str, splice: Splice) -> Iterator[str]:
    """Each way of it, the nearest place first."""
    if not splice.put:
        return
    found = (match.start() for match in re.finditer(f"(?={re.escape(splice.put)})", text))
    for start in sorted(found, key=lambda start: abs(start - splice.at))[:_LOOKED_AT]:
        yield f"{text[:start]}{splice.out}{text[start + len(splice.put) :]}"


def _splice(old: str, new: str) -> Splice:
    """The shortest part that differs."""
    shorter = min(len(old), len(new))
    start = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    tail = next((at for at in range(shorter - start) if old[-1 - at] != new[-1 - at]), shorter - start)
    return Splice(start, new[start : len(new) - tail], old[start : len(old) - tail])


def _checked(form: Format, text: str, wanted: Any, place: Place) -> str:
    if not _reads_as(form, text, wanted):
        raise CannotEdit(named(place))
    return text


def _reads_as(form: Format, text: str, wanted: Any) -> bool:
    try:
        data = form.parse(text)
    except Unreadable:
        return False
    return same(data, wanted, empties=True)
