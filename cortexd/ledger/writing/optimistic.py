"""Transactions planned by the sums of a while ago, and written in one round trip.

Each sum that a reservation goes by is taken to be larger than it was seen, by a part of what is left. The database
writes only while none has become larger than that, so what fits into the plan fits; where it does not write, or where
the plan refuses, nothing has happened, and the transaction is planned anew under the limits' locks. Near a limit that
is always so: who may still spend is decided there alone.

Far from a limit, transactions of different machines need not wait for each other: they hold its lock together. None of
them sees what the others are about to add, but that is known: there are so many transactions in a database at most, and
each that goes together adds at most so small a part of what is set aside (`_ASIDE` of the limit). So they go together
while what they see leaves that much; who sees less goes alone, and waits until those who go together are done. Likewise
with what is spent below a mark of the limit, whose crossing one settlement tells and no other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from sqlalchemy import Connection

from cortexd.domain.newest import Latest
from cortexd.ledger.engines import Adding, Look, Sharing
from cortexd.ledger.records import Limit
from cortexd.ledger.writing.actions import Action, Reserve, Settle
from cortexd.ledger.writing.balance import Balance
from cortexd.ledger.writing.books import Closed, Held
from cortexd.ledger.writing.commit_group import CommitGroup, Parts, Planned
from cortexd.ledger.writing.rows import Lease, day_of
from cortexd.ledger.writing.shared_books import SharedBooks
from cortexd.ledger.writing.shared_sums import SharedSums, Wanted, chosen, lock_name, wanted_by
from cortexd.ledger.writing.statements import Statements
from cortexd.ledger.writing.tallies import Tallies, Tally

_MOST_SEEN = 4096  # sums that are remembered
_MARGIN, _MARGIN_TOGETHER = 8, 2  # a sum may have grown by one of so many parts of what is left
_ANY = 2**200  # more than is ever spent
_ASIDE = 32  # one of so many parts of a limit is set aside for what goes together


@dataclass(slots=True)
class _Bound:
    """How a sum is bound: `margin` is by how much it is taken to be larger, `step` how it is rounded, `aside` what may
    be added meanwhile unseen."""

    margin: int
    step: int = 0
    aside: int = 0


@dataclass(slots=True)
class _Concern:
    """What a plan goes by: `bounds` of sums, `own` sums of users that are bound, other sums to `see`, where what is
    spent must not be more than that; `locks`, and whether held together."""

    bounds: dict[Wanted, _Bound] = field(default_factory=dict)
    own: dict[Wanted, bool] = field(default_factory=dict)
    see: dict[Wanted, int | None] = field(default_factory=dict)
    locks: dict[str, bool] = field(default_factory=dict)

    def bound(self, wanted: Wanted, margin: int, step: int, aside: int) -> None:
        there = self.bounds.setdefault(wanted, _Bound(margin))
        there.margin, there.step = min(there.margin, margin), max(there.step, step)
        there.aside = max(there.aside, aside)

    def lock(self, limit: Limit, together: bool) -> None:
        name = lock_name(limit.whose)
        self.locks[name] = together and self.locks.get(name, True)


@dataclass(slots=True)
class Plan:
    group: CommitGroup
    planned: list[Planned]
    parts: Parts
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
        concern = self._concern(books, actions, self._sharing.most_at_once(connection))
        if concern is None:
            return None
        books.tallies = self._tallies(concern)
        group, planned = CommitGroup(books, lease), []
        for action in actions:
            if isinstance(action, Settle):
                planned.append(group.settle(books.held[action.key], action.state, action.attempts))
            else:
                planned.append(group.plan(action, connection))
        found = group.in_one(self._statements)
        if found is None or any(isinstance(result, Exception) for result in planned):
            return None
        looks = {wanted: self._look(wanted, concern) for wanted in {**concern.bounds, **concern.see}}
        rows = list(self._sums.rows(group.moves, group.settled))
        parts, then = found
        added = Adding(rows, self._sums.host, concern.locks, list(looks.values()), then)
        return Plan(group, planned, parts, looks, added)

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

    def _concern(self, books: SharedBooks, actions: Sequence[Action], most_at_once: int) -> _Concern | None:
        """None where not all is known that they go by."""
        concern, adds = _Concern(), _adds(books, actions)
        for action in actions:
            if isinstance(action, Settle):
                if (held := books.held.get(action.key)) is None:
                    return None
                self._settles(concern, held, adds, most_at_once)
            elif not isinstance(action, Reserve) or not self._reserves(concern, action, adds, most_at_once):
                return None
        return concern

    def _settles(self, concern: _Concern, held: Held, adds: Mapping[Wanted, int], most_at_once: int) -> None:
        for period in (held.day, held.month):
            concern.see.setdefault((frozenset((held.uid,)), period))
        for limit in held.limits:
            wanted = wanted_by(limit, held.day)
            few = adds[wanted] * most_at_once <= limit.nano // _ASIDE
            below = self._below(limit, wanted) if few else None
            concern.lock(limit, together=below is not None)
            there = concern.see.get(wanted)
            concern.see[wanted] = below if there is None or below is None else min(there, below)

    def _below(self, limit: Limit, wanted: Wanted) -> int | None:
        """What may be spent there while settlements go together; None where one might meet a mark."""
        seen = self._seen.get(wanted)
        if seen is None or limit.marks is None:
            return None
        below = min((mark - limit.nano // _ASIDE - 1 for mark in limit.marks if mark > seen.spent), default=_ANY)
        return below if seen.spent <= below else None

    def _reserves(self, concern: _Concern, action: Reserve, adds: Mapping[Wanted, int], most_at_once: int) -> bool:
        if not (action.limits and action.nano):
            return True
        day, uid = day_of(action.request), frozenset((action.request.uid,))
        for limit in action.limits:
            wanted = wanted_by(limit, day)
            if (seen := self._seen.get(wanted)) is None:
                return False
            matters = bool(limit.step_nano) or limit.share != 1
            room, aside = max(0, limit.nano - seen.spent - seen.reserved), limit.nano // _ASIDE
            margin, share = room // _MARGIN_TOGETHER, limit.share if matters else 1
            together = adds[wanted] * most_at_once <= aside <= _part(margin, share)
            if not together:
                margin, aside = room // _MARGIN, 0
            concern.lock(limit, together)
            concern.bound(wanted, margin, limit.step_nano, aside)
            for own in ((uid, day), (uid, day[:7])):
                concern.own[own] = concern.own.get(own, False) or matters
                if matters:
                    if own not in self._seen:
                        return False
                    concern.bound(own, _part(margin, share), 0, aside)
        return True

    def _tallies(self, concern: _Concern) -> Tallies:
        """As if each sum had grown by its margin."""
        tallies = Tallies()
        for (whose, period), bound in concern.bounds.items():
            seen = self._seen[whose, period]
            tallies.put(whose, period, Tally(seen.spent, seen.reserved + bound.margin + bound.step, seen.unknown))
        for (whose, period), matters in concern.own.items():
            if not matters and (whose, period) not in concern.bounds:
                tallies.put(whose, period, Tally(0, 0))
        return tallies

    def _look(self, wanted: Wanted, concern: _Concern) -> Look:
        uids, app = chosen(wanted[0])
        spent, bound = concern.see.get(wanted), concern.bounds.get(wanted)
        if bound is None:
            return Look(uids, wanted[1], app, most_spent=spent)
        seen, more = self._seen[wanted], bound.margin - bound.aside
        used = seen.spent + seen.reserved + more
        if not concern.own.get(wanted):
            return Look(uids, wanted[1], app, used, spent)
        return Look(uids, wanted[1], app, used, spent, seen.reserved + more, seen.unknown)


def _adds(books: SharedBooks, actions: Sequence[Action]) -> Mapping[Wanted, int]:
    """What these add to the sums of limits at most, be it reserved or spent."""
    adds: defaultdict[Wanted, int] = defaultdict(int)
    for action in actions:
        if isinstance(action, Reserve):
            day = day_of(action.request) if action.limits else ""
            for limit in action.limits:
                adds[wanted_by(limit, day)] += action.nano
        elif isinstance(action, Settle) and (held := books.held.get(action.key)):
            for limit in held.limits:
                adds[wanted_by(limit, held.day)] += sum(max(attempt.cost_nano, 0) for attempt in action.attempts)
    return adds


def _part(nano: int, share: Fraction | int) -> int:
    return nano * share.numerator // share.denominator
