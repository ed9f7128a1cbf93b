"""Where users and limits stand while one transaction is planned: each action sees what those before it will leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from cortexd.domain.apps import APP
from cortexd.ledger.records import NOBODY, PAUSE, BudgetState, Limit, OverBudget, Own, Period, Whose
from cortexd.ledger.writing.books import Before, Books, Held
from cortexd.ledger.writing.tallies import Tally

_DAY = Period.DAY
Move = tuple[Held, int, int, int]  # whose, and what it adds to spent, to reserved and to unknown


@dataclass(slots=True)
class Balance:
    """The books' tallies with this transaction's moves in them, until `undo` takes those out.

    A tally that is not at hand is read from the ledger, whose entries are then still those of before the transaction.
    """

    books: Books
    _moves: list[Move] = field(default_factory=list)

    def move(self, held: Held, spent: int, reserved: int, unknown: int = 0) -> None:
        self._moves.append((held, spent, reserved, unknown))
        self.books.tallies.move(held.uid, held.day, held.month, spent, reserved, unknown, held.app)

    @property
    def moves(self) -> Sequence[Move]:
        return self._moves

    def undo(self) -> None:
        """For a transaction that is rolled back."""
        for held, spent, reserved, unknown in self._moves:
            self.books.tallies.move(held.uid, held.day, held.month, -spent, -reserved, -unknown, held.app)
        self._moves.clear()

    def refuse_over_budget(self, connection: Connection, held: Held, nano: int, already: int = 0) -> None:
        """Raise OverBudget, for the limit with the least left, where `nano` more does not fit into each of its limits.

        Limits that the user has set come last: nobody shall be asked about what could not be anyway. `already`: what
        this very request has reserved. Nothing more always fits: a free answer costs no budget anything.
        """
        if not nano or not held.limits or self._surely_fits(connection, held, nano):
            return
        seen = [state.seen for state in self.states(connection, held.limits, held.day, held.uid)]
        over = [state for state in seen if nano > state.left_nano]
        if operators := [state for state in over if not state.limit.own]:
            raise OverBudget(min(operators, key=lambda state: state.left_nano))
        if beyond := [state for state in seen if not state.limit.own and _beyond_share(state, nano, already)]:
            raise OverBudget(min(beyond, key=lambda state: state.share_nano), own_share=True)
        if over:
            raise OverBudget(min(over, key=lambda state: (state.limit.scope != PAUSE, state.left_nano)))

    def _surely_fits(self, connection: Connection, held: Held, nano: int) -> bool:
        """Whether `nano` more fits into each limit and into the user's share of it, in a glance: as if what others have
        spent were rounded up by a whole step. Where it does not, it may fit all the same."""
        for limit, tally in zip(held.limits, self._tallies(connection, held.limits, held.day), strict=True):
            left, share = limit.nano - tally.spent - tally.reserved - limit.step_nano, limit.share
            uncertain = self._part(connection, limit, tally, held.day, held.uid).uncertain_nano
            if nano > left or uncertain + nano > (left + uncertain) * share.numerator // share.denominator:
                return False
        return True

    def before(self, connection: Connection, held: Held) -> Before:
        """What is spent by a request's user and under its limits, now, before it is settled."""
        day = self._own(connection, held.uid, held.day)
        month = self._own(connection, held.uid, held.month)
        limits = [tally.spent for tally in self._tallies(connection, held.limits, held.day)]
        return Before(day.spent, month.spent, limits)

    def states(
        self, connection: Connection, limits: Sequence[Limit], day: str, uid: int | None = None
    ) -> list[BudgetState]:
        """Where each limit stands that day, or in that day's month, with the part of `uid` in it."""
        pairs = zip(limits, self._tallies(connection, limits, day), strict=True)
        return [
            BudgetState(limit, tally.spent, tally.reserved, self._part(connection, limit, tally, day, uid))
            for limit, tally in pairs
        ]

    def _part(self, connection: Connection, limit: Limit, whole: Tally, day: str, uid: int | None) -> Own:
        if uid is None:
            return NOBODY
        if limit.scope == APP:
            return Own(whole.spent, whole.reserved)
        today = self._own(connection, uid, day)
        tally = today if limit.period is _DAY else self._own(connection, uid, day[:7])
        return Own(tally.spent, tally.reserved, today.unknown)

    def _own(self, connection: Connection, uid: int, period: str) -> Tally:
        return self.books.tallies.own(uid, period) or self._load(connection, frozenset((uid,)), period)

    def _tallies(self, connection: Connection, limits: Sequence[Limit], day: str) -> list[Tally]:
        get, month, found = self.books.tallies.get, day[:7], []
        for limit in limits:
            period = day if limit.period is _DAY else month
            whose = limit.whose
            found.append(get(whose, period) or self._load(connection, whose, period))
        return found

    def _load(self, connection: Connection, whose: Whose, period: str) -> Tally:
        tally = self.books.committed(connection, whose, period)
        for held, spent, reserved, unknown in self._moves:
            if period in (held.day, held.month) and held.is_of(whose):
                tally.spent += spent
                tally.reserved += reserved
                tally.unknown += unknown
        self.books.tallies.put(whose, period, tally)
        return tally


def _beyond_share(state: BudgetState, nano: int, already: int) -> bool:
    """Whether `nano` more would take the user's uncertain costs beyond his share. A request that is the only one under
    way may take all that is left, as long as his unknown costs alone are within it: a single one is no burst."""
    alone = state.own.reserved_nano <= already and state.own.unknown_nano <= state.share_nano
    return not alone and state.uncertain_nano + nano > state.share_nano
