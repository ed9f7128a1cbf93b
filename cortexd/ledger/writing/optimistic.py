"""Transactions planned by the sums of a while ago, and written in one round trip.

Each sum that a reservation goes by is taken to be larger than it was seen, by a part of what is left. The database
writes only while none has become larger than that, so what fits into the plan fits; where it does not write, or where
the plan refuses, nothing has happened, and the transaction is planned anew under the limits' locks. Near a limit that
is always so: who may still spend is decided there alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from cortexd.domain.newest import Latest
from cortexd.ledger.engines import Adding, Look, Sharing
from cortexd.ledger.engines.driver import Sending
from cortexd.ledger.records import Limit, Period
from cortexd.ledger.writing.actions import Action, Reserve, Settle
from cortexd.ledger.writing.balance import Balance
from cortexd.ledger.writing.books import Closed, Held
from cortexd.ledger.writing.commit_group import CommitGroup, Planned
from cortexd.ledger.writing.rows import Lease, Row, day_of
from cortexd.ledger.writing.shared_books import SharedBooks
from cortexd.ledger.writing.shared_sums import SharedSums, Wanted, chosen, lock_name
from cortexd.ledger.writing.statements import Statements
from cortexd.ledger.writing.tallies import Tallies, Tally

_MOST_SEEN = 4096  # sums that are remembered
_MARGIN = 8  # a sum may have grown by this part of what is left


@dataclass(slots=True)
class _Margin:
    """By how much a sum is taken to be larger, and how it is rounded."""

    nano: int
    step: int


@dataclass(slots=True)
class _Concern:
    """What a plan goes by: `margins` of sums that bind it, `own` sums of users that are bound, other sums to `see`."""

    margins: dict[Wanted, _Margin] = field(default_factory=dict)
    own: dict[Wanted, bool] = field(default_factory=dict)
    see: dict[Wanted, None] = field(default_factory=dict)
    locks: set[str] = field(default_factory=set)

    def bound(self, wanted: Wanted, margin: int, step: int = 0) -> None:
        there = self.margins.setdefault(wanted, _Margin(margin, step))
        there.nano, there.step = min(there.nano, margin), max(there.step, step)


@dataclass(slots=True)
class Plan:
    group: CommitGroup
    planned: list[Planned]
    parts: Sequence[tuple[Sending, Sequence[Row]]]
    looks: Mapping[Wanted, Look]
    added: Adding


class Optimistic:
    def __init__(self, sharing: Sharing, sums: SharedSums, statements: Statements) -> None:
        self._sharing = sharing
        self._sums = sums
        self._statements = statements
        self._seen: Latest[Wanted, Tally] = Latest(_MOST_SEEN)

    def remember(self, tallies: Tallies, wanted: Iterable[Wanted]) -> None:
        """What a committed transaction has seen, and left."""
        for whose, period in wanted:
            if (tally := tallies.get(whose, period)) is not None:
                self._seen.put((whose, period), tally)

    def plan(self, books: SharedBooks, actions: Sequence[Action], lease: Lease, connection: Connection) -> Plan | None:
        """None where the actions, or what is known, are not such that it can be tried."""
        concern = self._concern(books, actions)
        if concern is None:
            return None
        books.tallies = self._tallies(concern)
        group, planned = CommitGroup(books, lease), []
        for action in actions:
            if isinstance(action, Settle):
                planned.append(group.settle(books.held[action.key], action.state, action.attempts))
            else:
                planned.append(group.plan(action, connection))
        parts = group.in_one(self._statements)
        if parts is None or any(isinstance(result, Exception) for result in planned):
            return None
        looks = {wanted: self._look(wanted, concern) for wanted in {**concern.margins, **concern.see}}
        rows = list(self._sums.rows(group.moves, group.settled))
        return Plan(group, planned, parts, looks, Adding(rows, self._sums.host, concern.locks, list(looks.values())))

    def write(self, connection: Connection, plan: Plan) -> Tallies:
        """Commit it; what was there before. Raises Otherwise."""
        seen = self._sharing.write(connection, plan.parts, plan.added)
        tallies = Tallies()
        for (whose, period), (spent, reserved, unknown) in zip(plan.looks, seen, strict=True):
            tallies.put(whose, period, Tally(spent, reserved, unknown))
        return tallies

    def told(self, books: SharedBooks, plan: Plan, before: Tallies | None, connection: Connection) -> list[Planned]:
        """What each action has met, one after the other. Where nobody knows what was there `before`, it is told by what
        is there now."""
        books.tallies = before or self._tallies_before(connection, plan)
        balance, told = Balance(books), []
        for planned, move in zip(plan.planned, plan.group.moves, strict=True):
            closed = isinstance(planned, Closed)
            told.append(planned._replace(before=balance.before(connection, planned.held)) if closed else planned)
            balance.move(*move)
        self.remember(books.tallies, plan.looks)
        return told

    def _tallies_before(self, connection: Connection, plan: Plan) -> Tallies:
        tallies = Tallies()
        for whose, period in plan.looks:
            tallies.put(whose, period, self._sums.tally(connection, whose, period))
        for held, spent, reserved, unknown in plan.group.moves:
            tallies.move(held.uid, held.day, held.month, -spent, -reserved, -unknown, held.app)
        connection.rollback()
        return tallies

    def _concern(self, books: SharedBooks, actions: Sequence[Action]) -> _Concern | None:
        concern = _Concern()
        for action in actions:
            if isinstance(action, Settle):
                if (held := books.held.get(action.key)) is None:
                    return None
                self._settles(concern, held)
            elif not isinstance(action, Reserve) or not self._reserves(concern, action):
                return None
        return concern

    def _settles(self, concern: _Concern, held: Held) -> None:
        for limit in held.limits:
            concern.see[_wanted(limit, held.day)] = None
            concern.locks.add(lock_name(limit.whose))
        for period in (held.day, held.month):
            concern.see[frozenset((held.uid,)), period] = None

    def _reserves(self, concern: _Concern, action: Reserve) -> bool:
        """Whether all is known that it goes by."""
        if not (action.limits and action.nano):
            return True
        day, uid = day_of(action.request), frozenset((action.request.uid,))
        for limit in action.limits:
            wanted = _wanted(limit, day)
            if (seen := self._seen.get(wanted)) is None:
                return False
            margin = max(0, limit.nano - seen.spent - seen.reserved) // _MARGIN
            concern.bound(wanted, margin, limit.step_nano)
            concern.locks.add(lock_name(limit.whose))
            matters = bool(limit.step_nano) or limit.share != 1
            for own in ((uid, day), (uid, day[:7])):
                concern.own[own] = concern.own.get(own, False) or matters
                if matters:
                    if own not in self._seen:
                        return False
                    share = limit.share
                    concern.bound(own, margin * share.numerator // share.denominator)
        return True

    def _tallies(self, concern: _Concern) -> Tallies:
        """As if each sum had grown by its margin."""
        tallies = Tallies()
        for (whose, period), margin in concern.margins.items():
            seen = self._seen[whose, period]
            tallies.put(whose, period, Tally(seen.spent, seen.reserved + margin.nano + margin.step, seen.unknown))
        for (whose, period), matters in concern.own.items():
            if not matters and (whose, period) not in concern.margins:
                tallies.put(whose, period, Tally(0, 0))
        return tallies

    def _look(self, wanted: Wanted, concern: _Concern) -> Look:
        uids, app = chosen(wanted[0])
        margin = concern.margins.get(wanted)
        if margin is None:
            return Look(uids, wanted[1], app)
        seen = self._seen[wanted]
        used = seen.spent + seen.reserved + margin.nano
        if not concern.own.get(wanted):
            return Look(uids, wanted[1], app, used)
        return Look(uids, wanted[1], app, used, seen.reserved + margin.nano, seen.unknown)


def _wanted(limit: Limit, day: str) -> Wanted:
    return limit.whose, day if limit.period is Period.DAY else day[:7]
