"""Where users and limits stand while one transaction is planned: each action sees what those before it will leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from cortexd.ledger.records import BudgetState, Limit, OverBudget, Period
from cortexd.ledger.writing.books import Before, Books, Held
from cortexd.ledger.writing.tallies import Tally, Uids

_DAY = Period.DAY
_Move = tuple[Held, int, int]  # whose, and what it adds to spent and to reserved


@dataclass(slots=True)
class Balance:
    """The books' tallies with this transaction's moves in them, until `undo` takes those out.

    A tally that is not at hand is read from the ledger, whose entries are then still those of before the transaction.
    """

    books: Books
    _moves: list[_Move] = field(default_factory=list)

    def move(self, held: Held, spent: int, reserved: int) -> None:
        self._moves.append((held, spent, reserved))
        self.books.tallies.move(held.uid, held.day, held.month, spent, reserved)

    def undo(self) -> None:
        """For a transaction that is rolled back."""
        for held, spent, reserved in self._moves:
            self.books.tallies.move(held.uid, held.day, held.month, -spent, -reserved)
        self._moves.clear()

    def refuse_over_budget(self, connection: Connection, held: Held, nano: int) -> None:
        """Raise OverBudget, for the limit with the least left, where `nano` more does not fit into each of its limits.

        Nothing more always fits: a free answer costs no budget anything.
        """
        if not nano or not held.limits:
            return
        over = []
        for limit, tally in zip(held.limits, self._tallies(connection, held.limits, held.day), strict=True):
            if tally.spent + tally.reserved + nano > limit.nano:
                over.append(BudgetState(limit, tally.spent, tally.reserved))
        if over:
            raise OverBudget(min(over, key=lambda state: state.left_nano))

    def before(self, connection: Connection, held: Held) -> Before:
        """What is spent by a request's user and under its limits, now, before it is settled."""
        own = self.books.tallies.own
        day = own(held.uid, held.day) or self._load(connection, frozenset((held.uid,)), held.day)
        month = own(held.uid, held.month) or self._load(connection, frozenset((held.uid,)), held.month)
        limits = [tally.spent for tally in self._tallies(connection, held.limits, held.day)]
        return Before(day.spent, month.spent, limits)

    def states(self, connection: Connection, limits: Sequence[Limit], day: str) -> list[BudgetState]:
        """Where each limit stands that day, or in that day's month."""
        tallies = self._tallies(connection, limits, day)
        return [BudgetState(limit, tally.spent, tally.reserved) for limit, tally in zip(limits, tallies, strict=True)]

    def _tallies(self, connection: Connection, limits: Sequence[Limit], day: str) -> list[Tally]:
        get, month, found = self.books.tallies.get, day[:7], []
        for limit in limits:
            period = day if limit.period is _DAY else month
            found.append(get(limit.uids, period) or self._load(connection, limit.uids, period))
        return found

    def _load(self, connection: Connection, uids: Uids, period: str) -> Tally:
        tally = self.books.committed(connection, uids, period)
        for held, spent, reserved in self._moves:
            if (uids is None or held.uid in uids) and period in (held.day, held.month):
                tally.spent += spent
                tally.reserved += reserved
        self.books.tallies.put(uids, period, tally)
        return tally
