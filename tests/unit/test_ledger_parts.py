"""What the ledger's tests are made of: requests, attempts, and looks at the file through SQLite itself."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, text

from cortexd.config.settings import LedgerSettings
from cortexd.domain.learned import Cell, Key, Reported
from cortexd.domain.messages import Usage
from cortexd.domain.outcomes import Outcome
from cortexd.ledger import AttemptRecord, Ledger, NewRequest
from cortexd.ledger.engines import place_of
from cortexd.ledger.keeping.machine import this_machine
from cortexd.ledger.reading.audit import Audit, audit
from cortexd.routing.learned import Cells

_numbers = itertools.count(1)
CLAUDE = ("claude", "claude-sonnet-5-5")
KIMI = ("kimi_k2", "kimi-k2.6")
MACHINE = this_machine(LedgerSettings())

# what each migration since has added to a file, with which an older ledger is made
_ADDED_BY = {
    "0005": ("DROP TABLE decisions", "DROP TABLE learned_cells", "DROP TABLE learned_counts"),
    "0006": ("DROP TABLE own_caps",),
    "0009": (
        "DROP TABLE rollups",
        "CREATE TABLE resets (uid BIGINT NOT NULL PRIMARY KEY, seq BIGINT NOT NULL)",
        "CREATE INDEX entries_uid_month_day ON entries (uid, month, day, kind, nano)",
        "CREATE INDEX entries_uid_seq ON entries (uid, seq)",
    ),
    "0007": ("DROP TABLE hosts", "ALTER TABLE requests DROP COLUMN host", "ALTER TABLE daily DROP COLUMN host"),
}


def make_older(path: Path, revision: str) -> None:
    """Take out of a closed ledger's file what has come since `revision`, but for what 0005 did to outcomes."""
    with closing(sqlite3.connect(path)) as connection:
        for each in (made for by, added in _ADDED_BY.items() if by > revision for made in added):
            connection.execute(each)
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.commit()


def request(uid: int = 1000, **given: Any) -> NewRequest:
    fields: dict[str, Any] = {
        "uid": uid,
        "user": f"user{uid}",
        "request_id": f"r-{next(_numbers)}",
        "caller_chosen": False,
        "content_hash": b"\x07" * 32,
        "task_type": "user_chat",
        "started_at": datetime.now(UTC),
    }
    return NewRequest(**(fields | given))


def attempt(cost_nano: int = 5_000, by: tuple[str, str] = CLAUDE, **given: Any) -> AttemptRecord:
    fields: dict[str, Any] = {
        "provider": by[0],
        "model": by[1],
        "outcome": "ok",
        "cost_nano": cost_nano,
        "cost_known": True,
        "usage": Usage(100, 20, 10, 0, 5),
        "latency_ms": 12,
    }
    return AttemptRecord(**(fields | given))


# The database of a directory's ledger, where the fixture `engine` puts ledgers into databases.
database_of: Callable[[Path], str] | None = None


def settings(directory: Path, **given: Any) -> LedgerSettings:
    """Of the ledger of this directory, in a file or, as the fixture `engine` has it, in a database."""
    path = directory / "ledger" / "ledger.sqlite3"
    return LedgerSettings(path=path, url=database_of(path) if database_of else "", **given)


def at(path: Path) -> LedgerSettings:
    """Of the ledger that `settings` has given this path."""
    return LedgerSettings(path=path, url=database_of(path) if database_of else "")


def expire_leases(path: Path) -> None:
    """Where a ledger is shared, what a dead daemon left is settled only when its lease is over; now it is."""
    if database_of:
        engine = create_engine(database_of(path), poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("UPDATE requests SET lease_until = started_at WHERE state = 'pending'"))


async def complete(ledger: Ledger, cost_nano: int = 5_000, uid: int = 1000, **given: Any) -> int:
    key = await ledger.reserve(request(uid, **given), cost_nano * 2)
    await ledger.settle(key, "done", [attempt(cost_nano)])
    return key


async def told(
    ledger: Ledger, uid: int, request_id: str, score: float, source: str = "user", weight: float = 1.0, **given: Any
) -> tuple[Reported, Mapping[Key, Cell]]:
    """An outcome, and the cells that it makes where there was no decision."""
    return await ledger.report_outcome(uid, request_id, source, Outcome(score, weight), Cells().teach(), **given)


class Found(tuple[Any, ...]):
    """A row, by numbers and names."""

    names: tuple[str, ...]

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self.names.index(key) if isinstance(key, str) else key)


def rows(path: Path, sql: str) -> list[Any]:
    """What a person would see in the file, or the database, right now."""
    if database_of:
        return _rows_of_database(database_of(path), sql)
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(sql).fetchall()


def _rows_of_database(url: str, sql: str) -> list[Any]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        result = connection.execute(text(sql))
        kind = type("Row", (Found,), {"names": tuple(result.keys())})
        return [kind(row) for row in result]


def audited(path: Path) -> Audit:
    with place_of(at(path)).reading() as connection:
        return audit(connection)


async def eventually(what: Callable[[], bool], deadline_s: float = 20.0) -> None:
    end = time.monotonic() + deadline_s
    while not what():
        assert time.monotonic() < end, f"not within {deadline_s} s"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def several(*opening: Awaitable[Ledger]) -> AsyncIterator[list[Ledger]]:
    """Ledgers of as many daemons, open meanwhile."""
    async with AsyncExitStack() as opened:
        ledgers = []
        for each in opening:
            ledgers.append(await each)
            opened.push_async_callback(ledgers[-1].close)
        yield ledgers


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another connection holds the write lock, so that the ledger's next transaction waits."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def while_locked(path: Path, begin: Callable[[], Awaitable[Any]]) -> Any:
    """Run `begin` to its end; what it asks for first waits in the ledger's queue."""
    with locked(path):
        task = asyncio.ensure_future(begin())
        for _ in range(20):
            await asyncio.sleep(0.005)
    return await task
