"""The file of a ledger: owned, opened for writing and for reading, copied."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import sqlalchemy
from sqlalchemy import NullPool, Pool, PoolProxiedConnection, QueuePool, create_engine

from cortexd.errors import AccessDenied, LedgerUnavailable
from cortexd.ledger.engines.engine import Engine, Place
from cortexd.ledger.engines.sqlite import lock

Durability = Literal["process", "power"]

BEGIN = "BEGIN IMMEDIATE"  # of a writer, which then has the file for itself
BUSY_TIMEOUT_S = 5.0
_WAL_LIMIT_BYTES = 64 * 1024 * 1024


class SqliteFile(Place):
    """A file in WAL mode, so that readers and the writer do not wait for each other."""

    def __init__(self, engine: Engine, path: Path, durability: Durability) -> None:
        self.engine = engine
        self._path = path
        self._durability = durability
        self.commits_wait = durability == "power"

    def __str__(self) -> str:
        return str(self._path)

    def claim(self) -> AbstractContextManager[None]:
        return lock.claimed(self._path)

    @contextmanager
    def left_alone(self) -> Iterator[None]:
        with lock.held(self._path):
            yield

    def begun(self) -> None:
        lock.remember(self._path)

    def refuse_to_begin_anew(self) -> None:
        lock.refuse_to_begin_anew(self._path)

    def forget(self) -> None:
        lock.forget(self._path)

    def writer(self) -> sqlalchemy.Engine:
        pragmas = (
            "auto_vacuum = INCREMENTAL",  # of a file without a page yet, and so before the next
            "journal_mode = WAL",
            f"synchronous = {'FULL' if self._durability == 'power' else 'NORMAL'}",
            "wal_autocheckpoint = 0",  # or a commit would wait for the disk; write_back does it beside
            f"journal_size_limit = {_WAL_LIMIT_BYTES}",
            "foreign_keys = ON",
            "temp_store = MEMORY",  # or what takes a statement back is written to a file beside it
        )
        return _pool(f"{self._uri}?mode=rw", pragmas, BEGIN, NullPool)

    def readers(self, connections: int = 1) -> sqlalchemy.Engine:
        options = {"pool_size": connections, "max_overflow": 0, "pool_timeout": BUSY_TIMEOUT_S}
        return _pool(f"{self._uri}?mode=ro", ("query_only = ON",), "BEGIN", QueuePool, **options)

    def reach(self) -> None:
        try:
            self._path.open("rb").close()
            lock.refuse_gone(self._path)
        except FileNotFoundError:
            lock.refuse_gone(self._path)
            raise LedgerUnavailable(
                f"there is no ledger at {self}; start cortexd, which makes it, or name another file with [ledger] path "
                "(for cortexctl ledger, with --path)"
            ) from None
        except PermissionError:
            raise AccessDenied(f"{self} is for root and cortexd's own user; try again with sudo") from None
        except OSError as error:
            raise LedgerUnavailable(f"cannot read {self}: {error.strerror}") from error

    def copy(self, target: Path) -> None:
        try:
            self._copy(target)
        except sqlite3.Error as error:
            reason = self.engine.unwritable(error) or error
            raise LedgerUnavailable(f"cannot copy {self} to {target}: {reason}") from error

    def _copy(self, target: Path) -> None:
        """In one step, which holds no writer up; then out of WAL mode, so that the copy is one file."""
        with (
            closing(sqlite3.connect(f"{self._uri}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")

    @property
    def _uri(self) -> str:
        return self._path.absolute().as_uri()


def _pool(uri: str, pragmas: tuple[str, ...], begin: str, pool: type[Pool], **options: Any) -> sqlalchemy.Engine:
    def connect() -> sqlite3.Connection:
        # A connection is used by one thread at a time, not by one thread for ever; transactions are begun below.
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=pool, paramstyle="named", **options)

    def do_begin(dbapi_connection: PoolProxiedConnection) -> None:
        driver: Any = dbapi_connection.driver_connection
        if begin is BEGIN and driver.in_transaction:
            return  # begun without SQLAlchemy, which asks for something meanwhile
        driver.execute(begin)

    dialect: Any = engine.dialect
    dialect.do_begin = do_begin  # an event would take longer, and at each commit too
    return engine
