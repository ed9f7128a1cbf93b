"""What a database is to the rest of the ledger: the words that SQL has none for, and the place where a ledger lies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cortexd.config.settings import LedgerSettings
from cortexd.errors import AccessDenied, LedgerUnavailable
from cortexd.ledger.engines.sharing import Sharing

if TYPE_CHECKING:
    import sqlalchemy
    from sqlalchemy import ColumnElement, Connection, Dialect, Insert, Select, Table


class TemporarilyUnavailable(LedgerUnavailable):
    """The ledger cannot be opened for what may pass without a person: a full disk, a lock on the file."""


class Log(NamedTuple):
    """What was committed and is not, or not yet, only where it stays. In bytes: the whole log, and what is left to move
    of it; it begins anew once nothing is left. Both 0 where it cannot be read or written now.
    """

    size: int
    left: int


class Engine(ABC):
    """One kind of database. It holds nothing: what it is asked concerns a connection, an error or a statement."""

    dialect: str
    """SQLAlchemy's name of it, by which a connection leads back to here."""

    sharing: Sharing | None = None
    """None where only one daemon at a time can have a ledger."""

    @abstractmethod
    def place(self, settings: LedgerSettings) -> Place:
        """Where these settings put the ledger; opens nothing."""

    @abstractmethod
    def unwritable(self, error: BaseException) -> str | None:
        """Why nothing can be written (or read) for now, in words; None where `error` concerns one statement only."""

    @abstractmethod
    def passing(self, error: BaseException) -> bool:
        """Whether `error` is such that it may pass by itself."""

    @abstractmethod
    def damaged(self, error: BaseException) -> bool:
        """Whether what was asked met a damaged part of the database; what lies elsewhere may still be had."""

    def refuses(self, error: BaseException) -> bool:  # noqa: ARG002
        """Whether the database was reached and lets nobody in, as with a wrong password."""
        return False

    @abstractmethod
    def hide_values(self, error: BaseException) -> None:
        """Take from the text of a driver's error what may quote a row: it goes into the journal."""

    def amiss(
        self,
        connection: Connection,  # noqa: ARG002
        rights: Mapping[str, Sequence[str]],  # noqa: ARG002
        *,
        begun: bool,  # noqa: ARG002
    ) -> Iterable[tuple[bool, str]]:
        """What is wrong with the database, or with its user, for a ledger: whether no daemon would begin there, and a
        sentence. `rights`: the tables by the privilege that is needed; `begun`: whether it holds a ledger."""
        return ()

    @abstractmethod
    def make_append_only(self, connection: Connection, table: str) -> None:
        """Let the database itself refuse UPDATE and DELETE on `table`."""

    @abstractmethod
    def deletable(self, connection: Connection, table: str) -> AbstractContextManager[None]:
        """Rows of an append-only table can be deleted meanwhile; where it fails, the rollback restores the refusal."""

    def first_to(self, connection: Connection, work: str) -> bool:  # noqa: ARG002
        """Whether no other daemon is at that work; nobody begins it until the transaction ends."""
        return True

    @abstractmethod
    def add(self, table: Table, keys: Sequence[str], sums: Sequence[str], rows: Select[Any] | None = None) -> Insert:
        """Insert a row, or add its `sums` to the row with the same `keys`; or do so with each of `rows`."""

    def lists(self, columns: Sequence[ColumnElement[Any]]) -> Select[Any] | None:  # noqa: ARG002
        """Rows of which a statement is given a list of values for each column; None where that saves nothing."""
        return None

    def by_place(self, dialect: Dialect) -> Dialect:
        """The dialect for statements that are sent with many rows: a driver may take values quicker by their place."""
        return dialect

    def begin(self, connection: Connection) -> None:
        """A transaction of the writer's, which `commit` or `rollback` ends."""
        connection.begin()

    def commit(self, connection: Connection) -> None:
        connection.commit()

    def rollback(self, connection: Connection) -> None:
        connection.rollback()

    def wait_for_others(self, connection: Connection, wait: bool) -> None:  # noqa: B027
        """Whether a transaction that begins there waits a while for another's end, or fails at once as `unwritable`."""

    @abstractmethod
    def deadline(self, connection: Connection, seconds: float) -> AbstractContextManager[Callable[[], bool]]:
        """Interrupt what runs on `connection` after so long; gives a function that tells whether that has come."""

    @abstractmethod
    def among(self, column: ColumnElement[Any], given: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether a column is one of these keys, however many; `given` is bound to what `key_list` makes."""

    @abstractmethod
    def with_pairs(
        self, table: Table, pair: tuple[ColumnElement[int], ColumnElement[str]], wanted: Collection[tuple[int, str]]
    ) -> Select[Any]:
        """The rows of `table` that have one of the pairs `wanted` in two columns with a unique index, and perhaps some
        more that are near."""

    @abstractmethod
    def key_list(self, keys: Iterable[int]) -> Any:
        """Keys as one value to bind."""

    @abstractmethod
    def json_value(self, document: ColumnElement[str], key: str) -> ColumnElement[Any]:
        """The text under `key` in a column that holds a JSON object; NULL where it has none."""

    @abstractmethod
    def every(self, column: ColumnElement[bool]) -> ColumnElement[Any]:
        """Whether a column is true in all rows of a group."""

    @abstractmethod
    def local_hour(self, column: ColumnElement[datetime]) -> ColumnElement[str]:
        """A time in UTC as the hour that it is in this machine's time zone: 2026-11-23T14."""

    @abstractmethod
    def write_back(self, connection: Connection) -> Log:
        """Move what was committed from the log to where it stays, outside a transaction; also beside the writer.

        What is committed, or still read, meanwhile is left.
        """

    @abstractmethod
    def shrink(self, connection: Connection, seconds: float) -> bool:
        """Give some of what is free back to the disk, for so long; whether there is more to give.

        A part stays, for the rows to come. Does nothing where the database cannot, or was not made for it.
        """

    @abstractmethod
    def damage(self, connection: Connection, append_only: Sequence[str]) -> Iterator[str]:
        """What is wrong with the database as such, a line each: pages, foreign keys, tables that can be changed."""


class Place(ABC):
    """Where one ledger lies; `str` gives it as an operator knows it."""

    engine: Engine
    commits_wait = True
    """Whether a commit may wait for a disk or for a network."""

    @abstractmethod
    def claim(self) -> AbstractContextManager[None]:
        """Make the place where there is none, and own it meanwhile: proof that no other daemon serves its requests.

        Raises ConfigError where the place is unsafe or out of reach, LedgerUnavailable where another daemon has it or
        where the ledger that was here is gone, TemporarilyUnavailable where the disk is full.
        """

    @abstractmethod
    def left_alone(self) -> AbstractContextManager[None]:
        """Keep daemons away meanwhile, where only one at a time can have the place. Raises AccessDenied,
        LedgerUnavailable where a daemon has it.
        """

    @abstractmethod
    def begun(self) -> None:
        """Remember that there is a ledger here from now on."""

    @abstractmethod
    def refuse_to_begin_anew(self) -> None:
        """Raise LedgerUnavailable, which says what to do, where a ledger was: budgets would begin at zero."""

    @abstractmethod
    def forget(self) -> None:
        """Let the next daemon begin a ledger anew where the one that was here is gone.

        Raises InvalidArgument where it is not, AccessDenied, LedgerUnavailable where a daemon has the place.
        """

    @abstractmethod
    def writer(self) -> sqlalchemy.Engine:
        """For the one writing connection. Its transactions may write as they begin: none waits or fails later on."""

    @abstractmethod
    def readers(self, connections: int = 1) -> sqlalchemy.Engine:
        """For reading only, also beside a daemon; each transaction sees one state of the ledger."""

    @abstractmethod
    def reach(self) -> None:
        """See that there is a ledger to read. Raises AccessDenied, LedgerUnavailable, which say what to do."""

    @abstractmethod
    def copy(self, target: Path) -> None:
        """Copy the ledger as it is at one instant into the empty file `target`, which then needs nothing beside it.

        Holds no writer up. Raises LedgerUnavailable.
        """

    def failure(self, what: str, error: BaseException) -> AccessDenied | LedgerUnavailable:
        """`error` for a person who has asked for something: AccessDenied where the database lets its user not do it."""
        reason = self.engine.unwritable(error) or type(error).__name__
        return (AccessDenied if self.engine.refuses(error) else LedgerUnavailable)(f"{what}: {reason}")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A single connection of `readers`; what the database refuses is as `failure` says."""
        from sqlalchemy.exc import SQLAlchemyError

        pool = self.readers()
        try:
            with pool.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise self.failure(f"cannot read {self}", error) from error
        finally:
            pool.dispose()
