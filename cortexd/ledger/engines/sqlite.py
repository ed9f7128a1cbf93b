"""Everything that is SQLite and not SQL: connections, pragmas, triggers, and what its errors mean to an operator."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, NullPool, Pool, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError

Durability = Literal["process", "power"]

_BUSY_TIMEOUT_S = 5.0
_WAL_LIMIT_BYTES = 64 * 1024 * 1024
_INSTRUCTIONS = 100_000  # of SQLite's machine, a few milliseconds, between two looks at the clock
_TRIGGERS = """
CREATE TRIGGER {table}_refuse_{action} BEFORE {action} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""

# Primary result codes after which no other write would succeed either.
_UNWRITABLE = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: "another process keeps the file locked",
    sqlite3.SQLITE_LOCKED: "another connection keeps the file locked",
    sqlite3.SQLITE_READONLY: "the file is read-only",
    sqlite3.SQLITE_IOERR: "reading or writing the disk failed",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_PERM: "access to the file is refused",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database",
}


def writer_engine(path: Path, durability: Durability) -> Engine:
    """An engine for the one writing connection: WAL, and each transaction takes the write lock as it begins."""
    pragmas = (
        "journal_mode = WAL",
        f"synchronous = {'FULL' if durability == 'power' else 'NORMAL'}",
        "wal_autocheckpoint = 4000",
        f"journal_size_limit = {_WAL_LIMIT_BYTES}",
        "foreign_keys = ON",
    )
    return _engine(f"{_uri(path)}?mode=rw", pragmas, "BEGIN IMMEDIATE", NullPool)


def reader_engine(path: Path, connections: int = 1) -> Engine:
    """An engine for reading only; each transaction sees one state of the ledger."""
    pool_options = {"pool_size": connections, "max_overflow": 0, "pool_timeout": _BUSY_TIMEOUT_S}
    return _engine(f"{_uri(path)}?mode=ro", ("query_only = ON",), "BEGIN", QueuePool, **pool_options)


def append_only(table: str) -> list[str]:
    """The statements that make SQLite refuse UPDATE and DELETE on `table`."""
    return [_TRIGGERS.format(table=table, action=action) for action in ("UPDATE", "DELETE")]


def deletable(table: str) -> tuple[str, str]:
    """The statements that let rows of an append-only table be deleted, and that refuse it again."""
    return f"DROP TRIGGER {table}_refuse_DELETE", append_only(table)[1]


@contextmanager
def deadline(connection: Connection, seconds: float) -> Iterator[Callable[[], bool]]:
    """Interrupt what runs on `connection` after so long; gives a function that tells whether that has come."""
    end = time.monotonic() + seconds

    def over() -> bool:
        return time.monotonic() > end

    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.set_progress_handler(over, _INSTRUCTIONS)
    try:
        yield over
    finally:
        driver.set_progress_handler(None, 0)


def unwritable(error: BaseException) -> str | None:
    """Why no write can succeed for now, in words; None where `error` concerns one statement only."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    return None if code is None else _UNWRITABLE.get(code & 0xFF)


def _uri(path: Path) -> str:
    return path.absolute().as_uri()


def _engine(uri: str, pragmas: tuple[str, ...], begin: str, pool: type[Pool], **pool_options: Any) -> Engine:
    def connect() -> sqlite3.Connection:
        # A connection is used by one thread at a time, not by one thread for ever; transactions are begun below.
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=pool, paramstyle="named", **pool_options)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.connection.cursor().execute(begin)

    return engine
