"""The ledger as one of several writers sees it: sums, keys and locks are the database's, which may go and come back.

A transaction is tried as optimistic.py has it. Else it takes the locks of the limits that it goes by, and reads their
sums only then: no two machines give the same money away. What became of a commit whose answer was lost: doubts.py.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from cortexd.errors import LedgerUnavailable, RequestNotFound
from cortexd.ledger.engines import Log, Otherwise, Place, Sharing
from cortexd.ledger.keeping import hosts
from cortexd.ledger.keeping.machine import Machine
from cortexd.ledger.keeping.migrate import migrate, revision
from cortexd.ledger.keeping.retention import clamped
from cortexd.ledger.keeping.revisions import HEAD
from cortexd.ledger.reading import queries
from cortexd.ledger.records import RequestState, Totals
from cortexd.ledger.spool.spool import Spool
from cortexd.ledger.writing.actions import (
    Action,
    Book,
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
from cortexd.ledger.writing.doubts import Doubts
from cortexd.ledger.writing.optimistic import Optimistic
from cortexd.ledger.writing.replaying import NO_LINES, Replaying, is_end_of, replaying, settled_as_lost, take_in
from cortexd.ledger.writing.rows import Lease, moment
from cortexd.ledger.writing.shared_books import Concerned, SharedBooks
from cortexd.ledger.writing.shared_sums import ROWS_EACH, SharedSums
from cortexd.ledger.writing.statements import Statements
from cortexd.ledger.writing.store import Result, Store
from cortexd.ledger.writing.tallies import Tallies

_log = logging.getLogger("cortexd.ledger")
_TRIES = 4
_UPKEEP = "upkeep"  # a lock of those who do it: one machine at a time, and nobody else waits
_PAUSE_S = 0.02
_RETRY_S, _MOST_RETRY_S = 1.0, 15.0
_MOST_ABANDONED = 256  # requests of a dead daemon, in one transaction
_LOST_TO_OTHERS = (
    "The request's lease was over and another machine has settled it as lost: it may cost nothing more. Look at "
    "[ledger] lease_s."
)


class CannotBegin(Exception):
    """The database is back, and not for this cortexd."""


class SharedStore(Store):
    shared = True
    books: SharedBooks

    def __init__(self, place: Place, instance: str, lease_s: float, machine: Machine, spool: Path) -> None:
        """As Store's, but for a database that is away: it is begun when it is back. `spool`: a file's path."""
        sharing = place.engine.sharing
        assert sharing is not None
        self._sharing: Sharing = sharing
        self._clock = timedelta()  # by how much the database's is ahead
        self._doubts = Doubts(sharing, instance)
        self._failures = 0
        self._first_month = ""  # of which there may be sums
        self._there: Connection | None = None  # None while the database is away
        super().__init__(place, instance, lease_s, machine)
        self.spool = Spool(spool, instance)
        self.spool.find()

    @property
    def lost(self) -> bool:
        return self._there is None

    @property
    def retry_s(self) -> float:
        """Ever longer, and not the same on every machine: all of them wait for the same database."""
        most = min(_RETRY_S * 2**self._failures, _MOST_RETRY_S)
        return random.uniform(most / 2, most)  # noqa: S311

    def unwritable(self, error: BaseException) -> str | None:
        return str(error) if isinstance(error, CannotBegin) else super().unwritable(error)

    def run(self, actions: Sequence[Action]) -> list[Result]:
        results = super().run(actions)
        away = any(isinstance(result, Exception) and self.unwritable(result) for result in results)
        self._failures = min(self._failures + 1, 10) if away else 0
        if not away and any(isinstance(action, RenewLeases) for action in actions):
            self._look_around()
        return results

    def write_back(self) -> Log:
        return Log(0, 0)

    write_back_beside = write_back

    def _commit(self, actions: Sequence[Action], conflict: bool = False) -> list[Result]:
        for left in reversed(range(_TRIES)):
            there = self._there is not None
            try:
                connection = self._connected()
                if self.away is not None:
                    self._begin_late(connection)
                if (results := self._doubts.end(connection, actions)) is not None:
                    return results
                if orphans := self._doubts.orphans:
                    settling = [Settle(key, RequestState.CANCELLED, ()) for key in orphans]
                    self._commit_once(connection, settling, False)
                    orphans.clear()
                done = None if conflict else self._commit_at_once(connection, actions)
                return done if done is not None else self._commit_once(connection, actions, conflict)
            except Exception as error:
                self._rollback(error)
                if not left or not (self._sharing.again(error) or (there and self._sharing.lost(error))):
                    raise
                time.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311
        raise AssertionError

    def _commit_once(self, connection: Connection, actions: Sequence[Action], conflict: bool) -> list[Result]:
        connection.begin()
        replay = replaying(connection, actions, self.host if self._machine.users == "host" else None)
        todo = replay.todo
        self.books.have_keys(connection, sum(isinstance(action, Reserve | Book) for action in todo))
        take_in(connection, self.books, todo if replay.marks else (), self._now())
        concerned = self.books.concerned(todo)
        gone, mark = self._look(connection, actions, todo, concerned)
        group = CommitGroup(self.books, self._now(), self._used_ids(connection, todo) if conflict else {})
        planned = [action and self._planned(group, action, connection, gone) for action in replay.meant]
        with self._doubts.of(
            connection,
            actions,
            lambda after: self._doubts.committed(after, actions, planned, mark),
            lambda _after: self._booked(group, planned),
        ):
            self._write(connection, group, replay)
        self._optimistic.remember(self.books.tallies, concerned.sums)
        for key in gone:
            self.books.held.pop(key, None)
        for action in actions:
            if isinstance(action, Settle):
                self._doubts.late.pop(action.key, None)
        return self._booked(group, planned)

    def _commit_at_once(self, connection: Connection, actions: Sequence[Action]) -> list[Result] | None:
        """In one round trip; None where it cannot be so, and nothing was done."""
        if not self._doubts.late.keys().isdisjoint(action.key for action in actions if isinstance(action, Settle)):
            return None
        wanted = sum(isinstance(action, Reserve) for action in actions)
        if not self.books.has_keys(wanted):
            with connection.begin():  # committed: a server that crashes would give the same keys to others
                self.books.have_keys(connection, wanted)
        plan = self._optimistic.plan(self.books, actions, self._now(), connection)
        if connection.in_transaction():  # of what was read, where the plan is that nothing fits
            connection.rollback()
        if plan is None:
            return None

        def ended(after: Connection, before: Tallies | None = None) -> list[Result]:
            told = self._optimistic.told(self.books, plan, before, after)
            return self._booked(plan.group, told)

        try:
            there = partial(self._doubts.committed, actions=actions, planned=plan.planned)
            with self._doubts.of(connection, actions, there, ended):
                before = self._optimistic.write(connection, plan)
        except Otherwise:
            return None
        results = ended(connection, before)
        self._count_free(connection, plan.group)
        return results

    def _count_free(self, connection: Connection, group: CommitGroup) -> None:
        try:
            self._free.count(connection, group.free)
            connection.rollback()
        except SQLAlchemyError as error:  # they are committed, whatever becomes of the connection
            self._rollback(error)

    def _look(
        self, connection: Connection, actions: Sequence[Action], todo: Sequence[Action], concerned: Concerned
    ) -> tuple[set[int], str]:
        """Begin, have the locks that these need, and only then the sums, in one round trip.

        Those of this daemon's open requests that another has settled meanwhile, and the transaction's mark; the other
        requests stay open until it ends.
        """
        held = self.books.held
        wanted = {action.key for action in todo if isinstance(action, Settle | ReserveMore)} & held.keys()
        entered, *alone = self._sharing.entering(alone=any(map(_goes_alone, actions)))
        asked = {"entered": entered}
        if alone:
            asked["alone"] = alone[0]
        if wanted:
            asked["open"] = queries.states.asked(connection, keys=list(wanted))
        locks = concerned.locks | {_UPKEEP for action in actions if isinstance(action, Upkeep)}
        if locks:
            asked["taken"] = self._sharing.taking(locks)
        if concerned.sums:
            asked["sums"] = self._sums.asked(connection, concerned.sums)
        found = dict(zip(asked, self._sharing.ask(connection, list(asked.values())), strict=True))
        self.books.tallies = self._sums.tallies(connection, concerned.sums, found.get("sums", ()))
        pending = ((key, by) for key, state, by in found.get("open", ()) if state == RequestState.PENDING)
        still = {key for key, by in pending if by == held[key].instance}
        return wanted - still, str(found["entered"][0][-1])

    def _planned(self, group: CommitGroup, action: Action, connection: Connection, gone: set[int]) -> Planned:
        if isinstance(action, ReserveMore) and action.key in gone:
            return LedgerUnavailable(_LOST_TO_OTHERS)
        if isinstance(action, Settle):
            if action.key in self._doubts.late and action.begun_by == "":
                return self._doubts.late[action.key]
            held = self.books.held.get(action.key)
            if action.key in gone or held is None or not is_end_of(action, held, group.lease):
                return self._corrected(group, action, connection)
        return group.plan(action, connection)

    def _corrected(self, group: CommitGroup, action: Settle, connection: Connection) -> Planned:
        """The end of a request that is settled already: by others, as lost, when its lease was over."""
        found = None if action.key in group.corrected else settled_as_lost(connection, action, group.lease)
        if found is None:
            return RequestNotFound(f"request {action.key} of the ledger is not pending")
        held, lost_nano = found
        return group.correct(connection, held, action.state, action.attempts, lost_nano)

    def _write(self, connection: Connection, group: CommitGroup, replay: Replaying = NO_LINES) -> None:
        """And commit: in one round trip where nothing has to be read."""
        plain = not (group.changes or group.free or replay.marks)
        with self._sharing.at_once(connection):
            self._sums.add(connection, group.moves, group.settled)  # in the order of optimistic.py
            group.send(connection, self._statements)
            if plain:
                connection.commit()
        if not plain:
            group.change(connection)
            self._free.count(connection, group.free)
            replay.keep(connection)
            connection.commit()

    def _booked(self, group: CommitGroup, planned: Sequence[Planned]) -> list[Result]:
        group.book()
        return [self._finished(result) for result in planned]

    def _look_around(self) -> None:
        """Settle what dead daemons have left, and see what the others have added up to."""
        try:
            self._set_clock()
            self._say_that_it_is_there(self._connected())
            self._drop_old_sums(self._connected())
            while found := self._recover():
                _log.warning("%d requests of daemons that died were settled as lost", found)
            self.books.totals = self._totals()
        except (SQLAlchemyError, CannotBegin) as error:
            self._rollback(error)  # the next call tells of it

    def _open(self, place: Place, opened: ExitStack) -> None:
        self._place = place
        self._pool = place.writer()
        opened.callback(self._drop_connection)
        opened.callback(self._close_spool)
        dialect = self._pool.dialect
        self._statements = Statements(dialect)
        self._sums = SharedSums(dialect)
        self._optimistic = Optimistic(self._sharing, self._sums, self._statements)
        self.books = SharedBooks(self._sums, NOTHING)
        self.recovered = 0
        try:
            self._begin(self._connected())
        except SQLAlchemyError as error:
            if not self._engine.passing(error):
                raise
            self._rollback(error)
            self.away = error
            _log.error("the ledger %s is away: %s; it is tried again", place, self.unwritable(error))

    def _begin(self, connection: Connection) -> None:
        """What comes before the first transaction."""
        migrate(connection, self._place.refuse_to_begin_anew)
        self._set_clock()
        self.host = hosts.enter(connection, self._machine, self._moment())
        self._sums.host = str(self.host % ROWS_EACH)
        self._drop_old_sums(connection)
        self.recovered = self._recover()
        self.books.totals = self._totals()
        self.away = None

    def _begin_late(self, connection: Connection) -> None:
        try:
            self._begin(connection)
        except LedgerUnavailable as error:  # a newer cortexd was quicker
            raise CannotBegin(str(error)) from error

    def _close_spool(self) -> None:
        if self.spool is not None:
            self.spool.close()

    def _say_that_it_is_there(self, connection: Connection) -> None:
        known = hosts.seen(connection, self.host, self._machine.id, self._moment())
        connection.commit()
        if not known:  # restored, and the connection stayed
            self._drop_connection()

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
            if self.host != hosts.NOT_KNOWN:
                with ExitStack() as unknown:  # or the next call would go on with it
                    unknown.callback(self._drop_connection)
                    self._find_itself(self._there)
                    unknown.pop_all()
        return self._there

    def _find_itself(self, connection: Connection) -> None:
        """A database that was restored meanwhile gives this machine's number to another, and its keys once more."""
        self.books.forget_keys()
        if revision(connection) != HEAD or hosts.id_of(connection, self.host) != self._machine.id:
            _log.warning("the ledger does not know this machine any more: it was restored, and is begun anew")
            self._doubts.forget()
            self._begin_late(connection)
        connection.rollback()

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
            held = Held.of(row, queries.exact(row.high, row.low))
            group.settle(held, RequestState.LOST, (), lost_nano=held.nano)
        self._write(connection, group)
        for key in keys:
            self.books.held.pop(key, None)
        return len(keys)

    def _set_clock(self) -> None:
        connection = self._connected()
        self._clock = self._sharing.now(connection) - datetime.now(UTC)
        connection.rollback()

    def _totals(self) -> Totals:
        found = self._sums.totals(self._connected())
        self._rollback()
        return found

    def _moment(self) -> datetime:
        """Now, by the database's clock: in UTC, without a zone."""
        return (datetime.now(UTC) + self._clock).replace(tzinfo=None)

    def _now(self) -> Lease:
        now = datetime.now(UTC) + self._clock
        return Lease(self._instance, moment(now), moment(now + self._lease), self.host)


def _goes_alone(action: Action) -> bool:
    return isinstance(action, ResetStats | TakeOver) or (isinstance(action, Change) and action.alone)
