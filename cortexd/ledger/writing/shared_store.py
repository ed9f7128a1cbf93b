"""The ledger as one of several writers sees it: sums, keys and locks are the database's, which may go and come back.

A transaction takes the locks of the limits that it goes by, and reads their sums only then: no two machines give the
same money away. Whether a commit whose answer was lost has happened is found out by the transaction's number.
"""

from __future__ import annotations

import json
import logging
import random
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from cortexd.domain.apps import APP
from cortexd.domain.safe_values import bounded_text
from cortexd.errors import LedgerUnavailable
from cortexd.ledger.engines import Log, Place, Sharing
from cortexd.ledger.keeping.migrate import migrate
from cortexd.ledger.keeping.retention import clamped
from cortexd.ledger.reading import queries
from cortexd.ledger.records import MAX_NAME, RequestState, Settled, Totals
from cortexd.ledger.writing.actions import (
    Action,
    Change,
    RenewLeases,
    Reserve,
    ReserveMore,
    ResetStats,
    Settle,
    TakeOver,
    Upkeep,
)
from cortexd.ledger.writing.books import NOTHING, Held
from cortexd.ledger.writing.commit_group import CommitGroup, Planned
from cortexd.ledger.writing.rows import Lease, moment
from cortexd.ledger.writing.shared_books import SharedBooks
from cortexd.ledger.writing.shared_sums import SharedSums
from cortexd.ledger.writing.statements import Statements
from cortexd.ledger.writing.store import Result, Store

_log = logging.getLogger("cortexd.ledger")
_TRIES = 4
_PAUSE_S = 0.02
_RETRY_S, _MOST_RETRY_S = 1.0, 15.0
_MOST_ABANDONED = 256  # requests of a dead daemon, in one transaction
_LOST_TO_OTHERS = (
    "The request's lease was over and another machine has settled it as lost, at what it had reserved. Look at "
    "[ledger] lease_s."
)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A group whose commit was sent, and not answered."""

    actions: Sequence[Action]
    mark: str
    group: CommitGroup
    planned: Sequence[Planned]


class SharedStore(Store):
    shared = True
    books: SharedBooks

    def __init__(self, place: Place, instance: str, lease_s: float) -> None:
        sharing = place.engine.sharing
        assert sharing is not None
        self._sharing: Sharing = sharing
        self._clock = timedelta()  # by how much the database's is ahead
        self._doubt: Doubt | None = None
        self._late: dict[int, Settled] = {}  # settled by a commit of which that was found out later
        self._orphans: list[int] = []  # reserved by such a commit, for nobody
        self._failures = 0
        self._first_month = ""  # of which there may be sums
        self._there: Connection | None = None  # None while the database is away
        self._host = bounded_text(socket.gethostname(), MAX_NAME)
        super().__init__(place, instance, lease_s)

    @property
    def retry_s(self) -> float:
        """Ever longer, and not the same on every machine: all of them wait for the same database."""
        most = min(_RETRY_S * 2**self._failures, _MOST_RETRY_S)
        return random.uniform(most / 2, most)  # noqa: S311

    def run(self, actions: Sequence[Action]) -> list[Result]:
        results = super().run(actions)
        away = any(isinstance(result, Exception) and self.unwritable(result) for result in results)
        self._failures = min(self._failures + 1, 10) if away else 0
        if not away and any(isinstance(action, RenewLeases) for action in actions):
            self._look_around()
        return results

    def write_back(self) -> Log:
        return Log(0, 0)

    def write_back_beside(self) -> Log:
        return Log(0, 0)

    def _commit(self, actions: Sequence[Action], conflict: bool = False) -> list[Result]:
        for left in reversed(range(_TRIES)):
            there = self._there is not None
            try:
                connection = self._connected()
                if (known := self._end_doubt(connection)) is not None:
                    results = self._booked(known.group, known.planned)
                    if known.actions is actions:
                        return results
                    self._take_in(known.actions, results)
                self._settle_orphans(connection)
                return self._commit_once(connection, actions, conflict)
            except Exception as error:
                self._rollback(error)
                if not left or not (self._sharing.again(error) or (there and self._sharing.lost(error))):
                    raise
                time.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311
        raise AssertionError

    def _commit_once(self, connection: Connection, actions: Sequence[Action], conflict: bool) -> list[Result]:
        connection.begin()
        self._sharing.enter(connection, alone=any(map(_goes_alone, actions)))
        self.books.have_keys(connection, sum(isinstance(action, Reserve) for action in actions))
        gone = self._gone(connection, actions)
        concerned = self.books.concerned(actions)
        self._sharing.take(connection, concerned.locks)
        self.books.tallies = self._sums.tallies(connection, concerned.sums)
        group = CommitGroup(self.books, self._now(), self._used_ids(connection, actions) if conflict else {})
        planned = [self._planned(group, action, connection, gone) for action in actions]
        self._write(connection, group)
        self._doubt = Doubt(actions, self._sharing.mark(connection), group, planned)
        self._commit_surely(connection)
        for key in gone:
            self.books.held.pop(key, None)
        for action in actions:
            if isinstance(action, Settle):
                self._late.pop(action.key, None)
        return self._booked(group, planned)

    def _commit_surely(self, connection: Connection) -> None:
        """The doubt ends here, unless the connection does."""
        try:
            connection.commit()
        except Exception as error:
            if not self._sharing.lost(error):
                self._doubt = None
            raise
        self._doubt = None

    def _planned(self, group: CommitGroup, action: Action, connection: Connection, gone: set[int]) -> Planned:
        if isinstance(action, Settle | ReserveMore) and action.key in gone:
            return LedgerUnavailable(_LOST_TO_OTHERS)
        if isinstance(action, Settle) and action.key in self._late:
            return self._late[action.key]
        return group.plan(action, connection)

    def _write(self, connection: Connection, group: CommitGroup) -> None:
        group.write(connection, self._statements)
        self._sums.add(connection, group.moves, group.settled)
        self._free.count(connection, group.free)

    def _booked(self, group: CommitGroup, planned: Sequence[Planned]) -> list[Result]:
        group.book()
        return [self._finished(result) for result in planned]

    def _take_in(self, actions: Sequence[Action], results: Sequence[Result]) -> None:
        """What a commit has done whose callers were told that it could not be."""
        for action, result in zip(actions, results, strict=True):
            if isinstance(action, Reserve) and isinstance(result, int):
                self._orphans.append(result)
            elif isinstance(action, Settle) and isinstance(result, Settled):
                self._late[action.key] = result

    def _gone(self, connection: Connection, actions: Sequence[Action]) -> set[int]:
        """Those of this daemon's open requests that another has settled meanwhile; the others stay open until the
        transaction ends."""
        wanted = {action.key for action in actions if isinstance(action, Settle | ReserveMore)} & self.books.held.keys()
        return wanted - queries.pending(connection, wanted) if wanted else set()

    def _end_doubt(self, connection: Connection) -> Doubt | None:
        """The group in doubt, if it was committed; it is in doubt no longer."""
        doubt = self._doubt
        if doubt is None:
            return None
        connection.begin()
        self._sharing.enter(connection, alone=True)  # its transaction has ended then
        committed = self._sharing.committed(connection, doubt.mark)
        connection.rollback()
        self._doubt = None
        if not committed:
            return None
        return doubt

    def _settle_orphans(self, connection: Connection) -> None:
        if self._orphans:
            settling = [Settle(key, RequestState.CANCELLED, ()) for key in self._orphans]
            self._commit_once(connection, settling, False)
            self._orphans.clear()

    def _look_around(self) -> None:
        """Settle what dead daemons have left, and see what the others have added up to."""
        try:
            self._set_clock()
            self._drop_old_sums(self._connected())
            while found := self._recover():
                _log.warning("%d requests of daemons that died were settled as lost", found)
            self.books.totals = self._totals()
        except SQLAlchemyError as error:
            self._rollback(error)  # the next call tells of it

    def _open(self, place: Place, opened: ExitStack) -> None:
        self._pool = place.writer()
        opened.callback(self._drop_connection)
        connection = self._connected()
        self._statements = Statements(connection.dialect)
        migrate(connection, place.refuse_to_begin_anew)
        self._sums = SharedSums(connection, self._host)
        self._drop_old_sums(connection)
        self.books = SharedBooks(self._sums, NOTHING)
        self._set_clock()
        self.recovered = self._recover()
        self.books.totals = self._totals()

    def _drop_old_sums(self, connection: Connection) -> None:
        """Once a month begins; what is open still is of the one before at most."""
        first = clamped(date.today(), date.today()).isoformat()[: len("2026-10")]
        if first != self._first_month:
            self._sums.drop(connection, first)
            connection.commit()
            self._first_month = first

    def _connected(self) -> Connection:
        if self._there is None:
            self._there = self._pool.connect()
        return self._there

    def _drop_connection(self) -> None:
        connection, self._there = self._there, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.invalidate()
            with suppress(SQLAlchemyError):
                connection.close()

    def _rollback(self, error: BaseException | None = None) -> None:
        if error is not None and self._sharing.lost(error):
            self._drop_connection()
        elif self._there is not None:
            try:
                self._there.rollback()
            except SQLAlchemyError:
                self._drop_connection()

    def _recover(self) -> int:
        """Settle as lost, at what they had reserved, requests whose lease is over: nobody serves them any more."""
        connection = self._connected()
        connection.begin()
        self._sharing.enter(connection, alone=False)
        now = self._now()
        keys = queries.abandoned(connection, datetime.fromisoformat(now.now), _MOST_ABANDONED)
        group = CommitGroup(self.books, now)
        for row in queries.reserved(connection, keys) if keys else ():
            nano, app = queries.exact(row.high, row.low), json.loads(row.labels).get(APP, "")
            names = {"app": app, "user": row.user, "task_type": row.task_type}
            held = Held(row.id, row.uid, row.day, row.month, nano, **names)
            group.settle(held, RequestState.LOST, (), lost_nano=held.nano)
        if keys:
            self._write(connection, group)
        connection.commit()
        for key in keys:
            self.books.held.pop(key, None)
        return len(keys)

    def _set_clock(self) -> None:
        connection = self._connected()
        self._clock = self._sharing.now(connection) - datetime.now(UTC)
        connection.rollback()

    def _totals(self) -> Totals:
        connection = self._connected()
        found = self._sums.totals(connection)
        connection.rollback()
        return found

    def _now(self) -> Lease:
        now = datetime.now(UTC) + self._clock
        return Lease(self._instance, moment(now), moment(now + self._lease), self._host)


def _goes_alone(action: Action) -> bool:
    return isinstance(action, ResetStats | TakeOver | Upkeep) or (isinstance(action, Change) and action.alone)
