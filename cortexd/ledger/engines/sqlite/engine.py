"""Everything that is SQLite and not SQL: triggers, deadlines, JSON tables, and what its errors mean to an operator."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Dialect, Insert, Select, Table, func, select, text
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError

from cortexd.config.settings import LedgerSettings
from cortexd.ledger.engines.driver import as_sqlalchemys, sqlalchemys
from cortexd.ledger.engines.engine import Engine, Log
from cortexd.ledger.engines.sqlite.file import BEGIN, BUSY_TIMEOUT_S, SqliteFile

_INSTRUCTIONS = 100_000  # of SQLite's machine, a few milliseconds, between two looks at the clock
_MAX_TOLD = 20
_BY_PLACE = sqlite_dialect(paramstyle="qmark")
_PAGE_BYTES = 4096
_INCREMENTAL = 2  # of PRAGMA auto_vacuum
_FREE_PAGES, _FREE_PART = 256, 20  # so many, or one part in so many, stay in the file for the rows to come
_TRIGGER = """
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
_PASSING = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR})


class SqliteEngine(Engine):
    dialect = "sqlite"

    def place(self, settings: LedgerSettings) -> SqliteFile:
        return SqliteFile(self, settings.path, settings.durability)

    def unwritable(self, error: BaseException) -> str | None:
        return _UNWRITABLE.get(_code(error))

    def passing(self, error: BaseException) -> bool:
        return _code(error) in _PASSING

    def damaged(self, error: BaseException) -> bool:
        return _code(error) == sqlite3.SQLITE_CORRUPT

    def hide_values(self, error: BaseException) -> None:
        """SQLite quotes none."""

    def make_append_only(self, connection: Connection, table: str) -> None:
        for action in ("UPDATE", "DELETE"):
            connection.execute(text(_trigger(table, action)))

    @contextmanager
    def deletable(self, connection: Connection, table: str) -> Iterator[None]:
        connection.execute(text(f"DROP TRIGGER {table}_refuse_DELETE"))
        yield
        connection.execute(text(_trigger(table, "DELETE")))

    def add(self, table: Table, keys: Sequence[str], sums: Sequence[str], rows: Select[Any] | None = None) -> Insert:
        new = insert(table) if rows is None else insert(table).from_select([*keys, *sums], rows)
        more = {name: table.c[name] + new.excluded[name] for name in sums}
        return new.on_conflict_do_update(index_elements=list(keys), set_=more)

    def by_place(self, dialect: Dialect) -> Dialect:  # noqa: ARG002
        return _BY_PLACE

    def begin(self, connection: Connection) -> None:
        """The driver's own: SQLAlchemy, which need not know of it, takes a tenth of what a small commit does."""
        try:  # here and in `commit`, which each call runs twice; as_sqlalchemys takes longer than what it guards
            _driver(connection).execute(BEGIN)
        except sqlite3.Error as error:
            raise sqlalchemys(connection, error, BEGIN) from error

    def commit(self, connection: Connection) -> None:
        if connection.in_transaction():  # something was asked by way of SQLAlchemy
            connection.commit()
            return
        try:
            _driver(connection).commit()
        except sqlite3.Error as error:
            raise sqlalchemys(connection, error, "COMMIT") from error

    def rollback(self, connection: Connection) -> None:
        connection.rollback()
        with as_sqlalchemys(connection, "ROLLBACK"):
            _driver(connection).rollback()

    def wait_for_others(self, connection: Connection, wait: bool) -> None:
        cursor = connection.connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000) if wait else 0}").close()

    @contextmanager
    def deadline(self, connection: Connection, seconds: float) -> Iterator[Callable[[], bool]]:
        end = time.monotonic() + seconds

        def over() -> bool:
            return time.monotonic() > end

        driver = _driver(connection)
        driver.set_progress_handler(over, _INSTRUCTIONS)
        try:
            yield over
        finally:
            driver.set_progress_handler(None, 0)

    def among(self, column: ColumnElement[Any], given: ColumnElement[Any]) -> ColumnElement[bool]:
        # Keys bound one by one would take longer than the deleting.
        return column.in_(select(func.json_each(given).table_valued("value").c.value))

    def with_pairs(
        self, table: Table, pair: tuple[ColumnElement[int], ColumnElement[str]], wanted: Collection[tuple[int, str]]
    ) -> Select[Any]:
        # Not by pairs: the whole table might be read for those.
        first, second = pair
        return select(table).where(first.in_({one for one, _ in wanted}), second.in_({other for _, other in wanted}))

    def key_list(self, keys: Iterable[int]) -> str:
        return json.dumps(list(keys))

    def json_value(self, document: ColumnElement[str], key: str) -> ColumnElement[Any]:
        each = func.json_each(document).table_valued("key", "value").alias("each")
        return select(each.c.value).where(each.c.key == key).scalar_subquery()

    def every(self, column: ColumnElement[bool]) -> ColumnElement[Any]:
        return func.min(column)

    def local_hour(self, column: ColumnElement[datetime]) -> ColumnElement[str]:
        return func.strftime("%Y-%m-%dT%H", column, "localtime")

    def write_back(self, connection: Connection) -> Log:
        cursor = connection.connection.cursor()
        try:
            _, pages, moved = cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:
            return Log(0, 0)  # the next commit tells of the disk, where it concerns that
        return Log(pages * _PAGE_BYTES, (pages - moved) * _PAGE_BYTES)

    def shrink(self, connection: Connection, seconds: float) -> bool:
        end = time.monotonic() + seconds
        mode, free, pages = (
            connection.scalar(text(f"PRAGMA {name}")) for name in ("auto_vacuum", "freelist_count", "page_count")
        )
        surplus = free - max(_FREE_PAGES, pages // _FREE_PART)
        if mode != _INCREMENTAL or surplus <= 0:
            return False
        cursor = connection.connection.cursor()
        while surplus > 0 and time.monotonic() < end:
            cursor.execute("PRAGMA incremental_vacuum(1)")  # Python's driver frees one page, however many it is told
            surplus -= 1
        return bool(surplus > 0)

    def damage(self, connection: Connection, append_only: Sequence[str]) -> Iterator[str]:
        yield from _damaged_pages(connection)
        yield from _orphans(connection)
        for table in append_only:
            yield from _changeable(connection, table)


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _code(error: BaseException) -> int:
    """SQLite's primary result code; SQLITE_OK where it is none of its errors."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code: int = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF


def _trigger(table: str, action: str) -> str:
    return _TRIGGER.format(table=table, action=action)


def _damaged_pages(connection: Connection) -> Iterator[str]:
    for (found,) in connection.execute(text(f"PRAGMA integrity_check({_MAX_TOLD})")):
        if found != "ok":
            yield f"the file is damaged: {found}"


def _orphans(connection: Connection) -> Iterator[str]:
    for row in connection.execute(text("PRAGMA foreign_key_check")).fetchmany(_MAX_TOLD):
        yield f"a row of {row[0]} (row {row[1]}) belongs to none of {row[2]}"


def _changeable(connection: Connection, table: str) -> Iterator[str]:
    found = text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")
    there = {_one_line(sql) for sql in connection.scalars(found, {"table": table})}
    for action in ("UPDATE", "DELETE"):
        if _one_line(_trigger(table, action)) not in there:
            yield f"{table} can be changed: the trigger {table}_refuse_{action} is missing or another"


def _one_line(sql: str) -> str:
    return " ".join(sql.split())
