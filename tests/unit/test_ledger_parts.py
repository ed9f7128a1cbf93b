"""What the ledger's tests are made of: requests, attempts, and looks at the file through SQLite itself."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cortexd.config.settings import LedgerSettings
from cortexd.domain.learned import Cell, Key, Reported
from cortexd.domain.messages import Usage
from cortexd.domain.outcomes import Outcome
from cortexd.ledger import AttemptRecord, Ledger, NewRequest
from cortexd.ledger.engines import place_of
from cortexd.ledger.reading.audit import Audit, audit
from cortexd.routing.learned import Cells

_numbers = itertools.count(1)
CLAUDE = ("claude", "claude-sonnet-5-5")
KIMI = ("kimi_k2", "kimi-k2.6")


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


def settings(directory: Path, **given: Any) -> LedgerSettings:
    return LedgerSettings(path=directory / "ledger" / "ledger.sqlite3", **given)


async def complete(ledger: Ledger, cost_nano: int = 5_000, uid: int = 1000, **given: Any) -> int:
    key = await ledger.reserve(request(uid, **given), cost_nano * 2)
    await ledger.settle(key, "done", [attempt(cost_nano)])
    return key


async def told(
    ledger: Ledger, uid: int, request_id: str, score: float, source: str = "user", weight: float = 1.0, **given: Any
) -> tuple[Reported, Mapping[Key, Cell]]:
    """An outcome, and the cells that it makes where there was no decision."""
    return await ledger.report_outcome(uid, request_id, source, Outcome(score, weight), Cells().teach(), **given)


def rows(path: Path, sql: str) -> list[sqlite3.Row]:
    """What a person would see in the file right now."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(sql).fetchall()


def audited(path: Path) -> Audit:
    with place_of(LedgerSettings(path=path)).reading() as connection:
        return audit(connection)


async def eventually(what: Callable[[], bool], deadline_s: float = 20.0) -> None:
    end = time.monotonic() + deadline_s
    while not what():
        assert time.monotonic() < end, f"not within {deadline_s} s"
        await asyncio.sleep(0.01)


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
