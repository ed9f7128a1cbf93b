"""A connection that is one session of the database: what is set and prepared there stays, with no pooler between."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from cortexd.ledger.engines.postgresql import pooled, results
from cortexd.ledger.engines.postgresql.pooled import Info

PREPARE_AFTER = 2  # times that a statement was run
_END = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start = %(since)s
"""
_WHICH = """
SELECT pid, backend_start, CAST(current_setting('max_connections') AS INTEGER) FROM pg_stat_activity
WHERE pid = pg_backend_pid()
"""
_BEGIN = (
    f"SET statement_timeout = '{pooled.STATEMENT}'",
    f"SET lock_timeout = '{pooled.LOCK}'",
    "SET default_transaction_isolation = 'read committed'",
    "SET plan_cache_mode = force_generic_plan",  # what is asked again and again has the same plan each time
    "SET enable_nestloop = off",  # a group's rows would each be looked for among all of the group
    "SET jit = off",  # what needs a nested loop all the same would seem dear enough for it
)
_MOST_PREPARED = 128
_DROPPED = "26000"
_SESSION, _PREPARED, _NUMBERS, _MOST = "cortexd session", "cortexd prepared", "cortexd numbers", "cortexd most at once"


def begin_where_alone(naming: pooled.Naming, driver: Any, record: Any) -> None:
    """A pooler would show a number of its own."""
    pid, since, most = driver.execute(_WHICH).fetchone()
    if pid == driver.info.backend_pid:
        driver.prepare_threshold = PREPARE_AFTER
        known = {_SESSION: {"pid": pid, "since": since}, _PREPARED: {}, _NUMBERS: count(), _MOST: most}
        record.info.update(known)
        for statement in _BEGIN:
            driver.execute(statement)
    else:
        pooled.begin(driver, record.info, naming)
    driver.commit()


def which(info: Info) -> Any:
    """By which `ending` finds it."""
    return info[_SESSION]


def ending(which: Any) -> tuple[str, Any]:
    """What ends it, if it is there still."""
    return _END, which


def most_at_once(info: Info) -> int:
    """How many sessions the database has at most."""
    most: int = info[_MOST]
    return most


def guard(info: Info) -> None:
    """What is sent is done at once or not at all."""


def run(driver: Any, info: Info, statement: str, values: Sequence[bytes | None]) -> Sequence[str]:
    """The one row that it gives, as a transaction. Raises Otherwise."""
    wire, names = driver.pgconn, info[_PREPARED]
    if statement in names:
        result = wire.exec_prepared(names[statement], values)
        if results.state(result) != _DROPPED:
            return results.row(wire, result)
        names.clear()  # the driver drops all that is prepared when a transaction was rolled back
    if len(names) == _MOST_PREPARED:
        return results.row(wire, wire.exec_params(statement.encode(), values))
    return results.row(wire, wire.exec_prepared(_prepared(wire, info, statement), values))


def _prepared(wire: Any, info: Info, statement: str) -> bytes:
    """Under a name that was never used: what was prepared after all was dropped is there still."""
    name = b"cortexd_%d" % next(info[_NUMBERS])
    result = wire.prepare(name, statement.encode())
    if results.state(result):
        raise results.error(wire, result)
    info[_PREPARED][statement] = name
    return name
