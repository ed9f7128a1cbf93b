"""What the writer keeps in memory: open reservations, running sums, totals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

from sqlalchemy import Connection

from cortexd.domain.apps import APP
from cortexd.domain.value import value
from cortexd.ledger.reading import queries, rollups
from cortexd.ledger.records import AppOf, BudgetChange, Limit, Settled, Totals, Whose
from cortexd.ledger.writing.tallies import Tallies, Tally

NOTHING = Totals()


@value
class Held:
    """A pending request, the nano-dollars reserved for it, and the limits that it keeps.

    `labels`: its JSON where it is long, and so not in the row yet. `app`: its label of that name. `user` and
    `task_type` as the row has them; `instance`, a daemon of `host`, has begun it.
    """

    key: int
    uid: int
    day: str
    month: str
    nano: int
    limits: tuple[Limit, ...] = ()
    labels: str = ""
    app: str = ""
    user: str = ""
    task_type: str = ""
    host: int = 0
    instance: str = ""

    @classmethod
    def of(cls, row: Any, nano: int) -> Held:
        """As the ledger has the request."""
        app = json.loads(row.labels).get(APP, "")
        names = {"app": app, "user": row.user, "task_type": row.task_type}
        return cls(row.id, row.uid, row.day, row.month, nano, **names, host=row.host, instance=row.instance)

    def is_of(self, whose: Whose) -> bool:
        if isinstance(whose, AppOf):
            return self.uid == whose.uid and self.app == whose.app
        return whose is None or self.uid in whose

    def more(self, nano: int) -> Held:
        return replace(self, nano=self.nano + nano)


class Before(NamedTuple):
    """What had been spent before a settlement: by its user that day and month, and under each of its limits."""

    day_nano: int
    month_nano: int
    limits_nano: Sequence[int]


UNKNOWN = Before(0, 0, ())


class Closed(NamedTuple):
    """A settlement that is written and not yet committed."""

    held: Held
    cost_nano: int
    cost_known: bool
    before: Before


class Books:
    """The memory of one writer. `totals` is replaced as a whole, so any thread may read it.

    `held` and `totals` are of what is committed; `tallies` also hold what the open transaction is going to write.
    """

    def __init__(self, totals: Totals = NOTHING, next_key: int = 1) -> None:
        self.totals = totals
        self.held: dict[int, Held] = {}
        self.tallies = Tallies()
        self._keys = count(next_key)

    def new_key(self) -> int:
        return next(self._keys)

    def committed(self, connection: Connection, whose: Whose, period: str) -> Tally:
        """What they had spent and reserved in a period before this transaction, which has written nothing yet."""
        month = period[:7]
        day = None if period == month else period
        reserved = sum(
            held.nano for held in self.held.values() if period in (held.day, held.month) and held.is_of(whose)
        )
        if isinstance(whose, AppOf):
            return Tally(queries.spent_by_app(connection, whose, month, day), reserved)
        tally = Tally(rollups.spent(connection, whose, month, day), reserved)
        if day is not None and whose is not None and len(whose) == 1:
            tally.unknown = queries.unknown(connection, next(iter(whose)), day)
        return tally

    def settle(self, closed: Closed) -> Settled:
        """Book a committed settlement."""
        held, cost, known, before = closed
        del self.held[held.key]
        self.totals = self.totals + Totals(1, cost)
        changes = [
            BudgetChange(limit, nano, nano + cost) for limit, nano in zip(held.limits, before.limits_nano, strict=True)
        ]
        return Settled(cost, known, before.day_nano + cost, before.month_nano + cost, self.totals, tuple(changes))
