"""The keys that moved requests get: of no other request in the ledger that they go into."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, false, or_

from cortexd.ledger.keeping.schema import KEYS_AT_ONCE, request_keys


class NewKeys:
    """For `count` requests, taken at once; what is not used stays unused."""

    def __init__(self, target: Connection, count: int) -> None:
        self._runs: list[tuple[int, int]] = []
        for _ in range(-(-count // KEYS_AT_ONCE)):
            self._add(int(target.scalar(request_keys) or 0))
        self._free: Iterator[int] = chain.from_iterable(range(first, last + 1) for first, last in self._runs)

    def take(self, count: int) -> list[int]:
        return list(islice(self._free, count))

    def among(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether a column holds one of them."""
        return or_(false(), *(column.between(first, last) for first, last in self._runs))

    def _add(self, first: int) -> None:
        last = first + KEYS_AT_ONCE - 1
        if self._runs and self._runs[-1][1] + 1 == first:
            self._runs[-1] = (self._runs[-1][0], last)
        else:
            self._runs.append((first, last))
