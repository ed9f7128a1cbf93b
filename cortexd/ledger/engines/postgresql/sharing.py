"""PostgreSQL's locks, clock and transaction numbers. Its locks end with their transaction, also behind PgBouncer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import blake2b

from sqlalchemy import Connection, Table, text

from cortexd.ledger.engines.postgresql import errors
from cortexd.ledger.engines.sharing import Sharing

_STATEMENT, _LOCK = "20s", "10s"
_BOUNDS = f"set_config('statement_timeout', '{_STATEMENT}', true), set_config('lock_timeout', '{_LOCK}', true)"
_ENTER = {
    False: text(f"SELECT {_BOUNDS}, pg_advisory_xact_lock_shared(:key)"),
    True: text(f"SELECT {_BOUNDS}, pg_advisory_xact_lock(:key)"),
}
_TAKE = text("""
SELECT pg_advisory_xact_lock(key) FROM (SELECT unnest(CAST(:keys AS BIGINT[])) AS key ORDER BY 1) AS in_order
""")
_NOW = text("SELECT clock_timestamp()")
_MARK = text("SELECT CAST(pg_current_xact_id() AS TEXT)")
_MAY_CHANGE = text("SELECT has_table_privilege(:table, 'INSERT')")
_BECAME = text("SELECT pg_xact_status(CAST(:mark AS xid8))")


class PostgresqlSharing(Sharing):
    def enter(self, connection: Connection, alone: bool) -> None:
        connection.execute(_ENTER[alone], {"key": _key("writers")})

    def take(self, connection: Connection, names: Iterable[str]) -> None:
        if keys := {_key(f"limit {name}") for name in names}:
            connection.execute(_TAKE, {"keys": list(keys)})

    def now(self, connection: Connection) -> datetime:
        found: datetime = connection.execute(_NOW).scalar_one()
        return found.astimezone(UTC)

    def mark(self, connection: Connection) -> str:
        found: str = connection.execute(_MARK).scalar_one()
        return found

    def committed(self, connection: Connection, mark: str) -> bool | None:
        became = connection.scalar(_BECAME, {"mark": mark})
        return None if became == "in progress" else became == "committed"

    def again(self, error: BaseException) -> bool:
        return errors.is_conflict(error)

    def may_change(self, connection: Connection, table: Table) -> bool:
        return bool(connection.scalar(_MAY_CHANGE, {"table": table.name}))

    def lost(self, error: BaseException) -> bool:
        return errors.is_lost(error)


def _key(name: str) -> int:
    """A lock's number. Two names that share one wait for each other, no more."""
    return int.from_bytes(blake2b(f"cortexd {name}".encode(), digest_size=8).digest(), "big", signed=True)
