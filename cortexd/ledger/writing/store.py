"""The ledger as one thread sees it: opened under its lock, written in groups. Nothing here waits for a loop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from cortexd.errors import LedgerUnavailable
from cortexd.ledger.engines import Damage, Log, Place, TemporarilyUnavailable
from cortexd.ledger.keeping import hosts, marks
from cortexd.ledger.keeping.machine import Machine
from cortexd.ledger.keeping.meta_rows import note
from cortexd.ledger.keeping.migrate import migrate
from cortexd.ledger.reading import queries, rollups
from cortexd.ledger.records import RequestState, Totals
from cortexd.ledger.writing.actions import Action, Book, Change, Reserve, is_refusal
from cortexd.ledger.writing.actions import Result as Result
from cortexd.ledger.writing.books import Books, Closed, Held
from cortexd.ledger.writing.commit_group import CommitGroup, Planned, Stored
from cortexd.ledger.writing.free_rows import FreeRows
from cortexd.ledger.writing.rows import Lease, moment
from cortexd.ledger.writing.statements import Statements

if TYPE_CHECKING:
    from cortexd.ledger.spool.spool import Spool

_RETRY_S = 2.0


class Store:
    """The one writing connection and the books beside it; used by one thread at a time."""

    shared = False
    """Whether other daemons write to the same ledger."""
    away: Exception | None = None
    """Why it could not be begun yet."""
    spool: Spool | None = None
    """What waits on this machine's own disk to be booked."""
    books: Books
    recovered: int
    host: int = hosts.NOT_KNOWN
    """This machine's number in the ledger."""

    resting: None = None
    """It is opened."""

    def __init__(
        self,
        place: Place,
        instance: str,
        lease_s: float,
        machine: Machine,
        claim: AbstractContextManager[None] | None = None,
    ) -> None:
        """Claim, migrate, recover, load. Raises ConfigError or LedgerUnavailable, whose texts say what to do.

        `claim`: in place of the place's own."""
        self.place = place
        self._engine = place.engine
        self.damage = Damage(str(place), place.engine.damaged)
        self._instance = instance
        self._machine = machine
        self._lease = timedelta(seconds=lease_s)
        self._free = FreeRows()
        self._waits = True
        with ExitStack() as opened:
            opened.enter_context(claim or place.claim())
            try:
                self._open(place, opened)
            except SQLAlchemyError as error:
                reason = self.unwritable(error) or str(error)
                kind = TemporarilyUnavailable if self._engine.passing(error) else LedgerUnavailable
                raise kind(f"cannot open the ledger {place}: {reason}") from error
            self._opened = opened.pop_all()

    def opened(self) -> Store:
        return self

    def readable(self) -> tuple[Place, Damage]:
        """Where others read beside it; any thread may ask."""
        return self.place, self.damage

    @property
    def totals(self) -> Totals:
        """The machine's settled requests and their cost, all time; any thread may ask."""
        return self.books.totals

    @property
    def holding(self) -> bool:
        """Whether there are pending requests of this daemon."""
        return bool(self.books.held)

    def at_once(self, action: Action) -> bool:
        """Whether `run_at_once` is worth while: a commit waits for nothing, and no other request is pending."""
        return not self.place.commits_wait and len(self.books.held) <= (not isinstance(action, Reserve))

    @property
    def lost(self) -> bool:
        """Whether the database cannot be reached."""
        return False

    def unwritable(self, error: BaseException) -> str | None:
        """Why nothing can be written for now, in words; None where `error` concerns one action only."""
        return self._engine.unwritable(error)

    @property
    def retry_s(self) -> float:
        """After so long it is tried again whether it can be written."""
        return _RETRY_S

    def run_at_once(self, action: Action) -> list[Result]:
        """As `run`, without any waiting: [] where that cannot be, or where it failed and was not refused."""
        self._wait(False)
        (result,) = self._run([action])
        return [] if isinstance(result, Exception) and not is_refusal(result) else [result]

    def run(self, actions: Sequence[Action]) -> list[Result]:
        """Commit all actions together; their results in order, errors as values.

        Used request ids are looked for only where the unique index objects. Where the group fails for one action's
        sake, or at a damaged place, each is run by itself; where nothing can be written now, all fail alike
        (`unwritable` tells).
        """
        self._wait(True)
        return self._run(actions)

    def _run(self, actions: Sequence[Action]) -> list[Result]:
        try:
            return self._commit(actions)
        except IntegrityError:
            self._rollback()
        except Exception as error:  # noqa: BLE001  whatever it is belongs to the action that caused it
            return self._one_by_one(actions, error)
        try:
            return self._commit(actions, conflict=True)
        except Exception as error:  # noqa: BLE001
            return self._one_by_one(actions, error)

    def fold_free(self) -> Action | None:
        """What turns some surplus rows of requests that cost nothing into daily sums; None while they are few."""
        return Change(self._free.fold, alone=True) if self._free.many else None

    def folded(self) -> None:
        """What `fold_free` gave is done, or cannot be."""
        self._free.folded()

    def write_back(self) -> Log:
        """Move what was committed from the log to where it stays, between two groups."""
        return self._engine.write_back(self._connection)

    def write_back_beside(self) -> Log:
        """The same on a connection of its own, for another thread while the writer goes on."""
        return self._engine.write_back(self._beside)

    def close(self) -> None:
        """Close the connections, then give the place up."""
        self._opened.close()

    def _commit(self, actions: Sequence[Action], conflict: bool = False) -> list[Result]:
        self._engine.begin(self._connection)
        group = CommitGroup(self.books, self._now(), self._used_ids(self._connection, actions) if conflict else {})
        try:
            planned = [group.plan(action, self._connection) for action in actions]
            group.write(self._connection, self._statements)
            self._free.count(self._connection, group.free)
            self._engine.commit(self._connection)
        except BaseException:
            group.undo()
            raise
        group.book()
        return [self._finished(result) for result in planned]

    def _one_by_one(self, actions: Sequence[Action], error: Exception) -> list[Result]:
        self._rollback()
        if len(actions) == 1 or (self.unwritable(error) and not self.damage.is_why(error)):
            return [error] * len(actions)
        return [self._run([action])[0] for action in actions]

    def _wait(self, wait: bool) -> None:
        if wait is not self._waits:
            self._engine.wait_for_others(self._connection, wait)
            self._waits = wait

    def _rollback(self) -> None:
        self._engine.rollback(self._connection)

    def _open(self, place: Place, opened: ExitStack) -> None:
        self._connection: Connection = opened.enter_context(place.writer().connect())
        self._statements = Statements(self._connection.dialect)
        migrate(self._connection, place.refuse_to_begin_anew)
        marks.refuse_moved(self._connection)
        place.begun()
        self.host = hosts.enter(self._connection, self._machine, datetime.now(UTC).replace(tzinfo=None))
        self.recovered = self._recover()
        self.books = self._load()
        self._beside = opened.enter_context(self._connection.engine.connect())

    def _finished(self, planned: Planned) -> Result:
        return self.books.settle(planned) if isinstance(planned, Closed) else planned

    def _used_ids(self, connection: Connection, actions: Sequence[Action]) -> Stored:
        requests = (action.request for action in actions if isinstance(action, Reserve | Book))
        return queries.find(connection, [(request.uid, request.request_id) for request in requests])

    def _recover(self) -> int:
        """Settle every pending row as lost, at what it had reserved: the lock proves that no daemon serves them."""
        rows = queries.reserved(self._connection)
        group = CommitGroup(Books(), self._now())
        for row in rows:
            held = Held.of(row, queries.exact(row.high, row.low))
            group.settle(held, RequestState.LOST, (), lost_nano=held.nano)
        if rows:
            group.write(self._connection, self._statements)
        self._connection.commit()
        return len(rows)

    def _load(self) -> Books:
        totals = rollups.totals(self._connection)
        note(self._connection, "instance", self._instance)
        next_key = queries.last_key(self._connection) + 1
        self._connection.commit()
        return Books(totals, next_key)

    def _now(self) -> Lease:
        now = datetime.now(UTC)
        return Lease(self._instance, moment(now), moment(now + self._lease), self.host)
