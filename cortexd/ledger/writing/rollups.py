"""What a transaction adds to the rollups: each settled request once, at each place where it was tried."""

from __future__ import annotations

from collections.abc import Sequence
from operator import add
from typing import Any

from cortexd.ledger.keeping.schema import rollups
from cortexd.ledger.reading.queries import halved
from cortexd.ledger.reading.rollups import TOKENS
from cortexd.ledger.writing.books import Held
from cortexd.ledger.writing.rows import Row

_KEY = ("uid", "day", "user", "task_type", "host", "provider", "model")
_SUMS = tuple(column.name for column in rollups.columns if not column.primary_key)
_ALONE = (1, 1, 1, 1)
_NO_TOKENS = (0,) * len(TOKENS)


class Rollups:
    def __init__(self) -> None:
        self._sums: dict[tuple[Any, ...], list[int]] = {}

    def add(self, held: Held, tried: Sequence[Row], cost_nano: int, known: bool) -> None:
        """A request that is settled, with the rows of its attempts."""
        if not tried:
            self._add(held, "", "", (*_ALONE, *_NO_TOKENS, not known, *halved(cost_nano)))
        seen: set[tuple[str, ...]] = set()
        for row in tried:
            provider, model = row["provider"], row["model"]
            counts = _ALONE if len(tried) == 1 else _counts(seen, provider, model)
            tokens = [row[name] or 0 for name in TOKENS]
            self._add(held, provider, model, (*counts, *tokens, not row["cost_known"], *halved(row["cost_nano"])))

    def take_lost(self, held: Held, cost_nano: int) -> None:
        """A request that was added as lost is to be added again."""
        self._add(held, "", "", [-each for each in (*_ALONE, *_NO_TOKENS, 1, *halved(cost_nano))])

    def rows(self) -> list[Row]:
        """In the same order whoever writes them."""
        return [
            dict(zip((*_KEY, *_SUMS), (*key, *sums), strict=True), former=0) for key, sums in sorted(self._sums.items())
        ]

    def _add(self, held: Held, provider: str, model: str, figures: Sequence[int]) -> None:
        key = (held.uid, held.day, held.user, held.task_type, held.host, provider, model)
        there = self._sums.get(key)
        self._sums[key] = list(map(int, figures) if there is None else map(add, there, figures))


def _counts(seen: set[tuple[str, ...]], provider: str, model: str) -> tuple[int, ...]:
    """1 where it is the request's first attempt of all, at that provider, with that model, at both."""
    places = ((), ("provider", provider), ("model", model), ("both", provider, model))
    new = tuple(int(place not in seen) for place in places)
    seen.update(places)
    return new
