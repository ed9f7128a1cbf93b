"""Requests that cost nothing: so many rows are kept of a user's day, all others become daily sums at once.

Nothing but patience would bound them: whoever has no money left, or a free endpoint, can ask as often as he likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, case, func, select

from cortexd.ledger.keeping import retention
from cortexd.ledger.keeping.schema import requests
from cortexd.ledger.records import IN_VAIN, RequestState
from cortexd.ledger.writing.books import Held

MAX_IN_VAIN = 1_000  # failed or cancelled, of a user and day
MAX_ANSWERED = 10_000
_MAX_DAYS = 8192  # of users; counted again from the rows when needed
_MAX_SURPLUS = 10_000  # where the disk refuses to let them go; further ones stay until they are old


@dataclass(slots=True)
class _Kept:
    in_vain: int
    answered: int


@dataclass(slots=True)
class FreeRows:
    """What one writer keeps of them; `surplus` are the keys of those that are to go."""

    surplus: list[int] = field(default_factory=list)
    _kept: dict[tuple[int, str], _Kept] = field(default_factory=dict)

    def count(self, connection: Connection, settled: Sequence[tuple[Held, RequestState]]) -> None:
        """Take in requests that the open transaction has settled at no cost."""
        loaded = {(held.uid, held.day): held for held, _ in settled if (held.uid, held.day) not in self._kept}
        for held in loaded.values():
            self._load(connection, held)
        for held, state in settled:
            kept = self._kept.get((held.uid, held.day)) or self._load(connection, held)
            vain = state in IN_VAIN
            if (held.uid, held.day) not in loaded:
                kept.in_vain += vain
                kept.answered += not vain
            too_many = kept.in_vain > MAX_IN_VAIN if vain else kept.answered > MAX_ANSWERED
            if too_many and len(self.surplus) < _MAX_SURPLUS:
                self.surplus.append(held.key)

    def fold(self, connection: Connection) -> None:
        """Turn some that are to go into daily sums, in the open transaction."""
        retention.fold(connection, self.surplus[: retention.MAX_CHUNK])

    def folded(self) -> None:
        """They are gone for good."""
        del self.surplus[: retention.MAX_CHUNK]

    @property
    def many(self) -> bool:
        return len(self.surplus) >= retention.MAX_CHUNK

    def _load(self, connection: Connection, held: Held) -> _Kept:
        free = (requests.c.cost_nano == 0) & requests.c.cost_known & (requests.c.state != RequestState.PENDING)
        own = (requests.c.day == held.day) & (requests.c.uid == held.uid)
        vain = func.sum(case((requests.c.state.in_(IN_VAIN), 1), else_=0))
        in_vain, every = connection.execute(select(func.coalesce(vain, 0), func.count()).where(own, free)).one()
        while len(self._kept) >= _MAX_DAYS:
            del self._kept[next(iter(self._kept))]
        return self._kept.setdefault((held.uid, held.day), _Kept(in_vain, every - in_vain))
