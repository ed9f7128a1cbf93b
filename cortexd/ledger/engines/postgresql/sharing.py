"""PostgreSQL's locks, clock and transaction numbers. Its locks end with their transaction, also behind PgBouncer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, Table, text

from cortexd.ledger.engines.driver import Sending, as_sqlalchemys
from cortexd.ledger.engines.postgresql import adding, errors, in_one, pooled, session
from cortexd.ledger.engines.sharing import Adding, Asked, Rows, Sharing

_LOOK: Asked = (pooled.LOOK, {})
_UNBOUNDED = """
SELECT set_config(name, '0', true) FROM pg_settings
WHERE name IN ('statement_timeout', 'lock_timeout', 'transaction_timeout')
"""  # the last came with PostgreSQL 17
_MARK = "CAST(pg_current_xact_id() AS TEXT)"
_JOINED = "set_config('enable_nestloop', 'on', true)"  # `write` goes without
_ENTER = {
    False: f"SELECT {pooled.BOUNDS}, {_JOINED}, pg_advisory_xact_lock_shared(%(key)s), {_MARK}",
    True: f"SELECT {pooled.BOUNDS}, {_JOINED}, pg_advisory_xact_lock(%(key)s), {_MARK}",
}
_TAKE = """
SELECT pg_advisory_xact_lock(key) FROM (SELECT unnest(CAST(%(keys)s AS BIGINT[])) AS key ORDER BY 1) AS in_order
"""
# `write` takes no lock of its own beside those of the tables: that of `sums` as it begins (adding.CALL). The others are
# written for minutes by who moves a ledger in, before he has to be alone. A ledger that is about to be made has none.
_EXCLUDE = """
DO $$ BEGIN
  IF to_regclass('sums') IS NOT NULL THEN LOCK TABLE sums IN EXCLUSIVE MODE; END IF;
END $$
"""
_NOW = text("SELECT clock_timestamp()")
_MAY_CHANGE = text("SELECT has_table_privilege(:table, 'INSERT')")
# A standby that took over may never have heard of the newest numbers, and objects to those.
_BECAME = text(
    "SELECT CASE WHEN CAST(:mark AS xid8) < pg_snapshot_xmax(pg_current_snapshot()) "
    "THEN pg_xact_status(CAST(:mark AS xid8)) ELSE 'unknown' END"
)


class PostgresqlSharing(Sharing):
    def make_routines(self, connection: Connection) -> None:
        connection.exec_driver_sql(adding.MAKE)

    def take_time(self, connection: Connection) -> None:
        connection.exec_driver_sql(_UNBOUNDED)

    def enter(self, connection: Connection, alone: bool) -> None:
        for statement, values in self.entering(alone):
            connection.exec_driver_sql(statement, values)

    def entering(self, alone: bool) -> list[Asked]:
        locked: list[Asked] = [(_ENTER[alone], {"key": _key("writers")})]
        return [*locked, (_EXCLUDE, {})] if alone else locked

    def most_at_once(self, connection: Connection) -> int:
        most: int = _room(connection).most_at_once(connection.info)
        return most

    def session(self, connection: Connection) -> Any:
        room = _room(connection)
        return room.ending, room.which(connection.info)

    def end_session(self, connection: Connection, which: Any) -> None:
        ending, session = which
        connection.exec_driver_sql(*ending(session))

    def taking(self, names: Iterable[str]) -> Asked:
        return _TAKE, {"keys": list({_key(f"limit {name}") for name in names})}

    def ask(self, connection: Connection, asked: Sequence[Asked]) -> list[list[tuple[Any, ...]]]:
        behind_pooler = pooled.is_pooled(connection.info)
        every = [*asked, _LOOK] if behind_pooler else asked
        with self.at_once(connection):
            cursors = [connection.connection.cursor() for _ in every]
            for cursor, (statement, values) in zip(cursors, every, strict=True):
                cursor.execute(statement, values)
        found = [list(cursor.fetchall()) if cursor.description else [] for cursor in cursors]
        if behind_pooler:
            with as_sqlalchemys(connection):
                pooled.looked(connection.info, *found.pop()[0])
        return found

    def write(
        self, connection: Connection, parts: Sequence[tuple[Sending, Rows]], added: Adding
    ) -> list[tuple[int, int, int]]:
        locks: dict[int, bool] = {}
        for name, together in added.locks.items():
            key = _key(f"limit {name}")
            locks[key] = together and locks.get(key, True)
        room, driver = _room(connection), connection.connection.driver_connection
        guard = room.guard(connection.info)
        statement, values = in_one.made(parts, added, dict(sorted(locks.items())), guard)
        with as_sqlalchemys(connection):
            found = room.run(driver, connection.info, statement, in_one.encoded(values))
        return in_one.seen(*found) if added.looks else []

    @contextmanager
    def at_once(self, connection: Connection) -> Iterator[None]:
        driver: Any = connection.connection.driver_connection
        try:
            with as_sqlalchemys(connection), driver.pipeline():
                yield
        except Exception:
            with suppress(connection.dialect.loaded_dbapi.Error):  # where the commit failed SQLAlchemy does it no more
                driver.rollback()
            raise

    def now(self, connection: Connection) -> datetime:
        found: datetime = connection.execute(_NOW).scalar_one()
        return found.astimezone(UTC)

    def committed(self, connection: Connection, mark: str) -> bool | None:
        became = connection.scalar(_BECAME, {"mark": mark})
        return None if became == "in progress" else became == "committed"

    def again(self, error: BaseException) -> bool:
        return errors.is_conflict(error)

    def may_change(self, connection: Connection, table: Table) -> bool:
        return bool(connection.scalar(_MAY_CHANGE, {"table": table.name}))

    def lost(self, error: BaseException) -> bool:
        return errors.is_lost(error)


def _room(connection: Connection) -> Any:
    return pooled if pooled.is_pooled(connection.info) else session


@lru_cache(4096)
def _key(name: str) -> int:
    """A lock's number. Two names that share one wait for each other, no more."""
    return int.from_bytes(blake2b(f"cortexd {name}".encode(), digest_size=8).digest(), "big", signed=True)
