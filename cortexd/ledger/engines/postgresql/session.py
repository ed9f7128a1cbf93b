"""A connection that is one session of the database: what is set and prepared there stays, with no pooler between."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from itertools import count
from typing import Any

from cortexd.ledger.engines.postgresql.adding import OTHERWISE
from cortexd.ledger.engines.sharing import Otherwise

PREPARE_AFTER = 2  # times that a statement was run
STATEMENT, LOCK = "20s", "10s"
END = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start = %(since)s
"""
PLACE = """
(SELECT oid FROM pg_database WHERE datname = current_database()) || ' ' ||
EXTRACT(EPOCH FROM pg_postmaster_start_time())
""".strip()
_WHICH = """
SELECT pid, backend_start, CAST(current_setting('max_connections') AS INTEGER) FROM pg_stat_activity
WHERE pid = pg_backend_pid()
"""
_BEGIN = (
    f"SET statement_timeout = '{STATEMENT}'",
    f"SET lock_timeout = '{LOCK}'",
    "SET default_transaction_isolation = 'read committed'",
    "SET plan_cache_mode = force_generic_plan",  # what is asked again and again has the same plan each time
)
_MOST_PREPARED = 128
_DROPPED = "26000"
_SESSION, _PREPARED, _NUMBERS, _MOST = "cortexd session", "cortexd prepared", "cortexd numbers", "cortexd most at once"
_PLACE = "cortexd place"


def begin_where_alone(driver: Any, record: Any) -> None:
    """A pooler would show a number of its own."""
    pid, since, most = driver.execute(_WHICH).fetchone()
    if pid == driver.info.backend_pid:
        driver.prepare_threshold = PREPARE_AFTER
        known = {_SESSION: {"pid": pid, "since": since}, _PREPARED: {}, _NUMBERS: count(), _MOST: most}
        record.info.update(known)
        for statement in _BEGIN:
            driver.execute(statement)
    else:
        (record.info[_PLACE],) = driver.execute(f"SELECT {PLACE}").fetchone()
    driver.commit()


def is_pooled(info: MutableMapping[Any, Any]) -> bool:
    return _PLACE in info


def refuse_other(info: MutableMapping[Any, Any], place: str) -> None:
    """Raise OperationalError where it is not the place that a pooler's client has found at first. Who has a session
    would have lost that; a pooler keeps its clients while a database is restored, or another server takes over."""
    from psycopg import OperationalError

    if info.get(_PLACE, place) != place:
        raise OperationalError("behind the pooler is another database, or its server has started anew")


def which(info: MutableMapping[Any, Any]) -> Any:
    """By which END finds it; None where a pooler stands between."""
    return info.get(_SESSION)


def most_at_once(info: MutableMapping[Any, Any]) -> int | None:
    """How many sessions the database has at most; None where a pooler stands between."""
    found: int | None = info.get(_MOST)
    return found


def run(
    driver: Any, info: MutableMapping[Any, Any] | None, statement: str, values: Sequence[bytes | None]
) -> Sequence[str]:
    """The one row that it gives, without the driver's own work around it, which takes as long as the database's. Where
    no transaction is open it is one. `info`: of a session that remembers what is prepared. Raises Otherwise.
    """
    wire = driver.pgconn
    if info is None:
        return _row(wire, wire.exec_params(statement.encode(), values))
    names = info[_PREPARED]
    if statement in names:
        result = wire.exec_prepared(names[statement], values)
        if _state(result) != _DROPPED:
            return _row(wire, result)
        names.clear()  # the driver drops all that is prepared when a transaction was rolled back
    if len(names) == _MOST_PREPARED:
        return _row(wire, wire.exec_params(statement.encode(), values))
    return _row(wire, wire.exec_prepared(_prepared(wire, info, statement), values))


def encoded(values: Sequence[str | None]) -> list[bytes | None]:
    """For `run`. A NUL would be a value's end on the wire."""
    found = [None if value is None else value.encode() for value in values]
    if b"\0" in b"".join([value for value in found if value is not None]):
        from psycopg import DataError

        raise DataError("PostgreSQL keeps no text with a NUL in it")
    return found


def _row(wire: Any, result: Any) -> Sequence[str]:
    if not result.nfields:
        raise _error(wire, result)
    row = (result.get_value(0, column) for column in range(result.nfields))
    return [(value or b"{}").decode() for value in row]


def _prepared(wire: Any, info: MutableMapping[Any, Any], statement: str) -> bytes:
    """Under a name that was never used: what was prepared after all was dropped is there still."""
    name = b"cortexd_%d" % next(info[_NUMBERS])
    result = wire.prepare(name, statement.encode())
    if _state(result):
        raise _error(wire, result)
    info[_PREPARED][statement] = name
    return name


def _state(result: Any) -> str:
    """ "" where nothing failed."""
    from psycopg.pq import DiagnosticField

    return (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()


def _error(wire: Any, result: Any) -> Exception:
    from psycopg import OperationalError, errors, pq

    state = _state(result)
    if state == OTHERWISE:
        return Otherwise()
    if not state:
        return OperationalError(wire.get_error_message())
    try:
        kind = errors.lookup(state)
    except KeyError:
        kind = errors.DatabaseError
    message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
    return kind(message)
