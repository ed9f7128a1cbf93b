"""Places in a settings file's data, and the data with a value put there or taken away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry of a list that is known by one of its values: `{key: value, …}`."""

    key: str
    value: str

    def is_in(self, item: Any) -> bool:
        return isinstance(item, Mapping) and item.get(self.key) == self.value

    def __str__(self) -> str:
        return f"[{self.key}={self.value}]"


Step = str | Entry
Place = tuple[Step, ...]


class Absent:
    """Nothing is there; None is a value."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


class Unreadable(Exception):
    """The text is not of its format; `line` from 1, 0 where the parser does not say."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class CannotEdit(Exception):
    """The text is written in a way that this place cannot be changed in without changing more."""


def named(place: Place) -> str:
    """env.ANTHROPIC_BASE_URL"""
    return ".".join(map(str, place))


def value_at(data: Any, place: Place) -> Any:
    """ABSENT where there is none."""
    for step in place:
        data = _below(data, step)
        if data is ABSENT:
            return ABSENT
    return data


def _below(data: Any, step: Step) -> Any:
    if isinstance(step, Entry):
        return next((item for item in data if step.is_in(item)), ABSENT) if isinstance(data, list) else ABSENT
    return data.get(step, ABSENT) if isinstance(data, Mapping) else ABSENT


def known_depth(data: Any, place: Place) -> int:
    """How many steps of `place` lead to something in `data`."""
    return max(depth for depth in range(len(place) + 1) if depth == 0 or value_at(data, place[:depth]) is not ABSENT)


def nested(place: Place, value: Any) -> Any:
    """`value` below the maps and lists that lead to it: ("a", "b") and 1 are {"a": {"b": 1}}."""
    for step in reversed(place):
        value = [value] if isinstance(step, Entry) else {step: value}
    return value


def with_value(data: Any, place: Place, value: Any) -> Any:
    """A copy of `data` with `value` there. Raises CannotEdit where something else is in the way."""
    if not place:
        return value
    step, rest = place[0], place[1:]
    if data is None or data is ABSENT:
        return nested(place, value)
    if isinstance(step, Entry):
        if not isinstance(data, list):
            raise CannotEdit(named(place))
        if _below(data, step) is ABSENT:
            return [*data, nested(rest, value)]
        return [with_value(item, rest, value) if step.is_in(item) else item for item in data]
    if not isinstance(data, Mapping):
        raise CannotEdit(named(place))
    return {**data, step: with_value(data.get(step, ABSENT), rest, value)}


def without(data: Any, place: Place, made: int) -> Any:
    """A copy of `data` without what is there. The first `made` steps were there before, and stay though empty; -1: not
    even `data` was. ABSENT where nothing remains."""
    if not place:
        return ABSENT
    step = place[0]
    below = _below(data, step)
    if below is ABSENT:
        return data
    remains = without(below, place[1:], made - 1)
    if remains is not ABSENT:
        return with_value(data, (step,), remains)
    left: Any
    if isinstance(step, Entry):
        left = [item for item in data if not step.is_in(item)]
    else:
        left = {key: item for key, item in data.items() if key != step}
    return left if left or made >= 0 else ABSENT


def same(one: Any, other: Any, *, empties: bool = False) -> bool:
    """Whether two files say the same: equal, and of one type (True is no 1), keys in any order. `empties`: what is
    empty is alike, be it a list, a map or null."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key], empties=empties) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(same(item, twin, empties=empties) for item, twin in pairs)
    if empties and _is_empty(one) and _is_empty(other):
        return True
    return type(one) is type(other) and (one == other or one != one)


def _is_empty(data: Any) -> bool:
    return data is None or data is ABSENT or (isinstance(data, list | Mapping) and not data)
