"""The rows of one transaction: planned action by action, then sent table by table."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection

from cortexd.domain.apps import APP
from cortexd.domain.learned import CountKey
from cortexd.domain.safe_values import INT64_MAX
from cortexd.errors import InvalidArgument, RequestNotFound
from cortexd.ledger.engines import engine_of
from cortexd.ledger.engines.driver import Sending, send_all
from cortexd.ledger.reading import queries, statistics
from cortexd.ledger.records import (
    IN_VAIN,
    AttemptRecord,
    DuplicateRequest,
    Kind,
    NewRequest,
    OverBudget,
    RequestState,
    Settled,
    StoredRequest,
)
from cortexd.ledger.writing import learned, owners
from cortexd.ledger.writing.actions import (
    Action,
    Beside,
    Book,
    Change,
    ReadBooks,
    RenewLeases,
    Replay,
    Reserve,
    ReserveMore,
    ResetStats,
    Settle,
    TakeOver,
    Upkeep,
)
from cortexd.ledger.writing.balance import Balance, Move
from cortexd.ledger.writing.books import UNKNOWN, Before, Books, Closed, Held
from cortexd.ledger.writing.rollups import Rollups
from cortexd.ledger.writing.rows import (
    Lease,
    Row,
    as_stored,
    attempt_row,
    day_of,
    decision_row,
    entry_row,
    long_labels,
    moment,
    name,
    pending_row,
    settled_row,
)
from cortexd.ledger.writing.statements import Statements

Stored = Mapping[tuple[int, str], StoredRequest]
_NONE_STORED: Stored = MappingProxyType({})
Planned = Any
Parts = Sequence[tuple[Sending, Sequence[Row]]]


class CommitGroup:
    """Plans actions in order and writes their rows; the books stay as they are until `book`, but for the tallies:
    they follow each action, so that the next one sees what it leaves, and `undo` takes that back.

    `stored`: the requests that already use an id which a caller has chosen here; `free`: those settled at no cost;
    `corrected`: the keys of those put right.
    """

    def __init__(self, books: Books, lease: Lease, stored: Stored = _NONE_STORED) -> None:
        self.books = books
        self.lease = lease
        self.stored = stored
        self.free: list[tuple[Held, RequestState]] = []
        self.corrected: set[int] = set()
        self._held: dict[int, Held] = {}
        self._closed: set[int] = set()
        self._names: dict[tuple[int, str], StoredRequest] = {}
        self._renamed: list[Row] = []
        self._requests: list[Row] = []
        self._settlements: list[Row] = []
        self._labels: list[Row] = []
        self._attempts: list[Row] = []
        self._entries: list[Row] = []
        self._decisions: list[Row] = []
        self._counted: Counter[CountKey] = Counter()
        self._rollups = Rollups()
        self._renewals: list[Row] = []
        self._resets: list[int] = []
        self._balance = Balance(books)

    def plan(self, action: Action, connection: Connection) -> Planned:
        """Add the rows for one action; an error of its own making is given back, and adds none."""
        try:
            match action:
                case Reserve():
                    return self._reserve(action, connection)
                case ReserveMore():
                    self._reserve_more(action, connection)
                    return None
                case Settle():
                    held = self._open(action.key)
                    before = self._balance.before(connection, held)
                    return self.settle(held, action.state, action.attempts, before)
                case Book():
                    return self._book(action, connection)
                case ReadBooks():
                    return self._balance.states(connection, action.limits, action.day, action.uid)
                case _:
                    return self._plan_beside(action, connection)
        except (DuplicateRequest, InvalidArgument, OverBudget, RequestNotFound) as error:
            return error

    def _plan_beside(self, action: Beside, connection: Connection) -> Planned:
        """What concerns no request's money; a line of a spool is what it says."""
        match action:
            case ResetStats():
                self._resets.append(action.uid)
            case TakeOver():
                self.books.tallies.forget(action.uid)
                owners.take_over(connection, action.uid, action.user)
            case Change() | Upkeep():
                return action.apply(connection)
            case RenewLeases():
                keys = engine_of(connection).key_list(self.books.held)
                self._renewals.append({"own": self.lease.instance, "lease_until": self.lease.until, "keys": keys})
            case Replay():
                return self.plan(action.what, connection)
        return None

    def settle(
        self,
        held: Held,
        state: RequestState,
        made: Sequence[AttemptRecord],
        before: Before = UNKNOWN,
        lost_nano: int = 0,
    ) -> Closed:
        """Release what is held, charge each attempt (or what a lost request had reserved), close the row."""
        self._closed.add(held.key)
        self._entry(held, Kind.RELEASE, held.nano)
        cost = self._charge(held, lost_nano, 0)
        tried: list[Row] = []
        for number, attempt in enumerate(made, start=1):
            nano = self._charge(held, attempt.cost_nano, cost)
            cost += nano
            tried.append(attempt_row(held.key, number, attempt, nano))
        self._attempts += tried
        known = state is not RequestState.LOST and all(attempt.cost_known for attempt in made)
        self._rollups.add(held, tried, cost, known)
        closed = Closed(held, cost, known, before)
        free = known and not cost
        if free:
            self.free.append((held, state))
        if held.labels and not (free and state in IN_VAIN):
            self._labels.append({"key": held.key, "labels": held.labels})
        self._balance.move(held, cost, -held.nano, 0 if known or state not in IN_VAIN else cost)
        self._settlements.append(settled_row(closed, state, made, self.lease))
        return closed

    def correct(
        self, connection: Connection, held: Held, state: RequestState, made: Sequence[AttemptRecord], lost_nano: int
    ) -> Settled:
        """What a request really came to that was settled as lost at `lost_nano`, when nobody knew better."""
        self.corrected.add(held.key)
        before, cost = self._balance.before(connection, held), 0
        tried: list[Row] = []
        for number, attempt in enumerate(made, start=1):
            nano = min(max(attempt.cost_nano, 0), INT64_MAX - cost)
            cost += nano
            tried.append(attempt_row(held.key, number, attempt, nano))
        self._attempts += tried
        if cost != lost_nano:
            self._entry(held, Kind.ADJUST, cost - lost_nano)
        closed = Closed(held, cost, all(attempt.cost_known for attempt in made), before)
        for rollups in (self._rollups, own := Rollups()):
            rollups.take_lost(held, lost_nano)
            rollups.add(held, tried, cost, closed.cost_known)
        statistics.corrected(connection, held.uid, held.key, own.rows())
        self._balance.move(held, cost - lost_nano, 0)
        self._settlements.append(settled_row(closed, state, made, self.lease))
        more = cost - lost_nano
        return Settled(cost, closed.cost_known, before.day_nano + more, before.month_nano + more, self.books.totals)

    def write(self, connection: Connection, statements: Statements) -> None:
        """All that was planned."""
        self.send(connection, statements)
        self.change(connection)

    def send(self, connection: Connection, statements: Statements) -> None:
        """The rows, each table's in one go."""
        send_all(connection, self._parts(statements))

    def in_one(self, statements: Statements) -> tuple[Parts, Parts] | None:
        """The same for a single statement, which settles only what is pending, and apart what is added up. None where
        two parts would change the same row, or one that others wait for."""
        if self._renamed or self._labels or self._counted or self._renewals or self._resets:
            return None
        swapped = {id(statements.settle): statements.settle_pending}
        parts = [(swapped.get(id(statement), statement), rows) for statement, rows in self._parts(statements)]
        added = [part for part in parts if part[0] is statements.roll_up]
        return [part for part in parts if part[0] is not statements.roll_up], added

    def _parts(self, statements: Statements) -> Iterator[tuple[Sending, list[Row]]]:
        for statement, rows in (
            (statements.rename, self._renamed),
            (statements.reserve, self._requests),
            (statements.settle, self._settlements),
            (statements.label, self._labels),
            (statements.decide, self._decisions),
            (statements.attempt, self._attempts),
            (statements.entry, self._entries),
            (statements.roll_up, self._rollups.rows()),
            (statements.count, learned.count_rows(self._counted)),
            (statements.renew, self._renewals),
        ):
            if rows:
                yield statement, rows

    @property
    def changes(self) -> bool:
        """Whether `change` has something to do."""
        return bool(self._resets)

    def change(self, connection: Connection) -> None:
        """What goes by what is there, once the rows are."""
        for uid in self._resets:
            statistics.reset(connection, uid)

    @property
    def moves(self) -> Sequence[Move]:
        """What it adds to the sums of users and limits."""
        return self._balance.moves

    @property
    def settled(self) -> int:
        """The number of requests that it closes."""
        return len(self._closed)

    def book(self) -> None:
        """Take the reservations into the books, now that they are committed."""
        self.books.held.update(self._held)

    def undo(self) -> None:
        """Take out of the tallies what will not be written."""
        self._balance.undo()

    def _reserve(self, action: Reserve, connection: Connection) -> int:
        request = action.request
        own_id = (request.uid, request.request_id)
        used = self._names.get(own_id) or self.stored.get(own_id)
        if used is not None and not _gives_up_its_id(used, request):
            raise DuplicateRequest(used)
        _check_amount(action.nano)
        day = day_of(request)
        limits, labels, app = tuple(action.limits), long_labels(request), request.labels.get(APP, "")
        names = (name(request.user), request.task_type, self.lease.host, self.lease.instance)
        held = Held(self.books.new_key(), request.uid, day, day[:7], action.nano, limits, labels, app, *names)
        try:
            self._balance.refuse_over_budget(connection, held, action.nano)
        except OverBudget:
            _refuse_used(connection, request)
            raise
        if used is not None:
            self._renamed.append({"key": used.key, "renamed": f"{used.request_id}#{used.key}"})
        self._requests.append(pending_row(held, request, self.lease))
        if request.decided is not None:
            self._decisions.append(decision_row(held.key, request.decided))
        if request.counted:
            self._counted.update(request.counted)
        self._entry(held, Kind.RESERVE, action.nano)
        self._balance.move(held, 0, action.nano)
        self._held[held.key] = held
        self._names[own_id] = as_stored(held.key, request)
        return held.key

    def _reserve_more(self, action: ReserveMore, connection: Connection) -> None:
        held = self._open(action.key)
        _check_amount(action.nano)
        _check_amount(held.nano + action.nano)
        self._balance.refuse_over_budget(connection, held, action.nano, held.nano)
        self._entry(held, Kind.RESERVE, action.nano)
        self._balance.move(held, 0, action.nano)
        self._held[held.key] = held.more(action.nano)

    def _book(self, action: Book, connection: Connection) -> Closed:
        request = action.request
        own_id = (request.uid, request.request_id)
        if own_id in self._names or own_id in self.stored:
            request = replace(request, request_id=f"{request.request_id}#{secrets.token_hex(6)}")
        held = self._held[self._reserve(Reserve(request, 0), connection)]
        closed = self.settle(held, action.state, action.attempts, self._balance.before(connection, held))
        self._settlements[-1]["finished_at"] = moment(action.ended_at)
        return closed

    def _open(self, key: int) -> Held:
        held = self._held.get(key) or self.books.held.get(key)
        if held is None or key in self._closed:
            raise RequestNotFound(f"request {key} of the ledger is not pending")
        return held

    def _charge(self, held: Held, nano: int, charged: int) -> int:
        """Book what fits beside `charged` into one row's 64 bits; give what was booked."""
        booked = min(max(nano, 0), INT64_MAX - charged)
        if booked:
            self._entry(held, Kind.CHARGE, booked)
        return booked

    def _entry(self, held: Held, kind: Kind, nano: int) -> None:
        self._entries.append(entry_row(held, kind, nano, self.lease.now))


def _refuse_used(connection: Connection, request: NewRequest) -> None:
    """Where nothing is inserted, no index objects to an id that was used before."""
    if request.caller_chosen:
        own_id = (request.uid, request.request_id)
        used = queries.find(connection, [own_id]).get(own_id)
        if used and not _gives_up_its_id(used, request):
            raise DuplicateRequest(used)


def _gives_up_its_id(used: StoredRequest, request: NewRequest) -> bool:
    return used.in_vain and used.content_hash == request.content_hash


def _check_amount(nano: int) -> None:
    if not 0 <= nano <= INT64_MAX:
        raise InvalidArgument(f"a reservation of {nano} nano-dollars is outside what the ledger can hold")
