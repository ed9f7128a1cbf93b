"""What the writer keeps in memory: open reservations, users' sums, totals. Changed only after a commit."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cortexd.ledger import queries
from cortexd.ledger.records import Settled, Totals

NOTHING = Totals()
_MAX_SUMS = 8192


@dataclass(frozen=True, slots=True)
class Held:
    """A pending request of this daemon and the nano-dollars reserved for it."""

    key: int
    uid: int
    day: str
    month: str
    nano: int

    def more(self, nano: int) -> Held:
        return replace(self, nano=self.nano + nano)


@dataclass(frozen=True, slots=True)
class Closed:
    """A settlement that is written and not yet committed."""

    held: Held
    cost_nano: int
    cost_known: bool


class Sums:
    """What users have spent by day and month: read from entries at first need, the longest unused dropped."""

    def __init__(self) -> None:
        self._nano: dict[tuple[int, str], int] = {}

    def load(self, connection: Connection, held: Held) -> None:
        """Have both sums of a request's user at hand. Call before this transaction's entries are written."""
        for period, day in ((held.month, None), (held.day, held.day)):
            known = self._nano.pop((held.uid, period), None)
            nano = queries.spent(connection, held.uid, held.month, day) if known is None else known
            self._nano[held.uid, period] = nano
        while len(self._nano) > _MAX_SUMS:
            del self._nano[next(iter(self._nano))]

    def add(self, uid: int, period: str, nano: int) -> int:
        """The new sum."""
        self._nano[uid, period] += nano
        return self._nano[uid, period]


class Books:
    """The memory of one writer. `totals` is replaced as a whole, so any thread may read it."""

    def __init__(self, totals: Totals = NOTHING, next_key: int = 1) -> None:
        self.totals = totals
        self.held: dict[int, Held] = {}
        self.sums = Sums()
        self._next_key = next_key

    def new_key(self) -> int:
        self._next_key += 1
        return self._next_key - 1

    def settle(self, closed: Closed) -> Settled:
        """Book a committed settlement."""
        held, cost = closed.held, closed.cost_nano
        del self.held[held.key]
        self.totals = self.totals + Totals(1, cost)
        day = self.sums.add(held.uid, held.day, cost)
        month = self.sums.add(held.uid, held.month, cost)
        return Settled(cost, closed.cost_known, day, month, self.totals)
