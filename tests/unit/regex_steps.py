"""How many steps a backtracking engine takes for a pattern: an interpreter of what `re` parses, which counts.

Every character that is compared and every place that is tried is a step, so that a pattern's worst case is a number and
not a time. It knows what the patterns of cortexd.privacy use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

Then = Callable[[int], int]
_FAILED = -1
_SPACE, _DIGIT = " \t\n\r\f\v", "0123456789"


class Steps:
    """`match` says where a match ends, as `re` would, or -1; `count` grows."""

    def __init__(self, pattern: re.Pattern[str], text: str) -> None:
        self._tree = parser.parse(pattern.pattern, pattern.flags)
        self._text = text
        self._groups: dict[int, tuple[int, int]] = {}
        self.count = 0

    def match(self, at: int) -> int:
        self._groups = {}
        return self._row(self._tree.data, 0, False, lambda end: end)(at)

    def _row(self, row: Sequence[Any], index: int, folded: bool, then: Then) -> Then:
        def go(at: int) -> int:
            if index == len(row):
                return then(at)
            return self._node(row[index], at, folded, self._row(row, index + 1, folded, then))

        return go

    def _node(self, node: Any, at: int, folded: bool, then: Then) -> int:
        self.count += 1
        operation, value = node
        if operation in (codes.LITERAL, codes.NOT_LITERAL, codes.IN, codes.ANY):
            return then(at + 1) if self._one(node, at, folded) else _FAILED
        return getattr(self, f"_{str(operation).lower()}")(value, at, folded, then)  # type: ignore[no-any-return]

    def _one(self, node: Any, at: int, folded: bool) -> bool:
        if at >= len(self._text):
            return False
        operation, value = node
        found = self._text[at]
        looks = {found, found.lower(), found.upper()} if folded else {found}
        if operation is codes.ANY:
            return found != "\n"
        if operation is codes.LITERAL:
            return chr(value) in looks
        if operation is codes.NOT_LITERAL:
            return chr(value) not in looks
        negated = value[0][0] is codes.NEGATE
        return any(self._in(item, look) for item in value[negated:] for look in looks) is not negated

    @staticmethod
    def _in(item: Any, look: str) -> bool:
        operation, value = item
        if operation is codes.LITERAL:
            return look == chr(value)
        if operation is codes.RANGE:
            return bool(value[0] <= ord(look) <= value[1])
        return {
            codes.CATEGORY_SPACE: look in _SPACE,
            codes.CATEGORY_NOT_SPACE: look not in _SPACE,
            codes.CATEGORY_DIGIT: look in _DIGIT,
        }[value]

    def _subpattern(self, value: Any, at: int, folded: bool, then: Then) -> int:
        group, added, _removed, row = value
        folded = folded or bool(added & re.IGNORECASE)

        def ended(end: int) -> int:
            if group is not None:
                self._groups[group] = (at, end)
            return then(end)

        return self._row(row.data, 0, folded, ended)(at)

    def _branch(self, value: Any, at: int, folded: bool, then: Then) -> int:
        ends = (self._row(row.data, 0, folded, then)(at) for row in value[1])
        return next((end for end in ends if end != _FAILED), _FAILED)

    def _max_repeat(self, value: Any, at: int, folded: bool, then: Then) -> int:
        least, most, row = value
        starts = [at]
        if len(row) == 1 and row[0][0] in (codes.LITERAL, codes.NOT_LITERAL, codes.IN, codes.ANY):
            while len(starts) <= most and self._one(row[0], starts[-1], folded):
                starts.append(starts[-1] + 1)
        else:  # without going back into one that is over, as none of ours has to
            while len(starts) <= most:
                end = self._row(row.data, 0, folded, lambda end: end)(starts[-1])
                if end in (_FAILED, starts[-1]):
                    break
                starts.append(end)
        self.count += len(starts)
        while len(starts) > least:
            self.count += 1
            if (end := then(starts.pop())) != _FAILED:
                return end
        return _FAILED

    def _possessive_repeat(self, value: Any, at: int, folded: bool, then: Then) -> int:
        end = self._max_repeat(value, at, folded, lambda end: end)
        return _FAILED if end == _FAILED else then(end)

    def _assert(self, value: Any, at: int, folded: bool, then: Then) -> int:
        return then(at) if self._looks(value, at, folded) else _FAILED

    def _assert_not(self, value: Any, at: int, folded: bool, then: Then) -> int:
        return _FAILED if self._looks(value, at, folded) else then(at)

    def _looks(self, value: Any, at: int, folded: bool) -> bool:
        direction, row = value
        start = at if direction > 0 else at - row.getwidth()[0]
        return start >= 0 and self._row(row.data, 0, folded, lambda end: end)(start) != _FAILED

    def _groupref_exists(self, value: Any, at: int, folded: bool, then: Then) -> int:
        group, there, absent = value
        row = there if group in self._groups else absent
        return then(at) if row is None else self._row(row.data, 0, folded, then)(at)
