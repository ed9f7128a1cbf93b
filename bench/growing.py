"""One ledger of a given size, used once in every way that could take longer as it grows: python -m bench.growing DIR N.

In a process of its own, so that its memory can be told. Prints a JSON object of figures.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from bench.old_ledger import fill
from bench.samples import percentile
from cortexd.config.settings import LedgerSettings
from cortexd.domain.messages import Usage
from cortexd.ledger import AttemptRecord, Ledger, Limit, NewRequest, Period, UsageQuery

DAYS = 400
PRUNED = 2_000  # requests, or those of the oldest day
_FIRST = date.today() - timedelta(days=DAYS - 1)
_TIMES = 5
_EVERY_S = 0.01
_ANSWER = AttemptRecord("claude", "claude-sonnet-5-5", "ok", 5_000, True, Usage(100, 20, 10, 0, 5), 900)
_LIMITS = (
    Limit("user", "user0", Period.MONTH, 10**15, frozenset((1000,))),
    Limit("machine", "", Period.DAY, 10**15, None),
)
_COPY = """
import sys, time
from pathlib import Path
from cortexd.config.settings import LedgerSettings
from cortexd.ledger.keeping.maintenance import backup
began = time.perf_counter()
backup(LedgerSettings(path=Path(sys.argv[1])), Path(sys.argv[2]))
print(time.perf_counter() - began)
"""
_numbers = itertools.count(1)
T = TypeVar("T")


def make(directory: Path, requests: int) -> None:
    """A ledger of so many requests, of DAYS days up to today."""

    async def begin() -> None:
        await (await Ledger.open(_settings(directory))).close()

    asyncio.run(begin())
    fill(_settings(directory).path, requests, _FIRST.isoformat(), requests // DAYS)


async def measure(directory: Path, requests: int) -> dict[str, float]:
    settings, before = _settings(directory), _resident_mb()
    start_ms, ledger = await _timed(lambda: Ledger.open(settings))
    month = UsageQuery(None, date.today() - timedelta(days=29), date.today(), ("uid",))
    by_label = UsageQuery(1000, month.since, month.until, ("label",), "job")
    found = {
        "start_ms": start_ms,
        "stats_ms": (await _timed(lambda: ledger.stats(1000)))[0],
        "budgets_ms": (await _timed(lambda: ledger.budgets(_LIMITS, 1000)))[0],
        "usage_ms": await _median(lambda: ledger.usage(month)),
        "label_ms": await _median(lambda: ledger.usage(by_label)),
        "file_mb": settings.path.stat().st_size / 1e6,
    }
    found["quiet_p99_ms"], _ = await _beside(ledger, asyncio.sleep(2))
    found |= await _pruned(ledger, _FIRST + timedelta(days=max(1, PRUNED * DAYS // requests)))
    found |= await _copied(ledger, directory)
    await ledger.close()
    return found | {"memory_mb": _resident_mb() - before}


async def _copied(ledger: Ledger, directory: Path) -> dict[str, float]:
    """By a process of its own, as cortexctl does it."""
    copying = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _COPY, _settings(directory).path, directory / "copy", stdout=asyncio.subprocess.PIPE
    )
    p99, most = await _beside(ledger, copying.wait())
    assert copying.stdout is not None
    took = float(await copying.stdout.read())
    return {"backup_ms": 1e3 * took, "backup_p99_ms": p99, "backup_max_ms": most}


async def _pruned(ledger: Ledger, until: date) -> dict[str, float]:
    gone: list[int] = []

    async def prune() -> None:
        gone.append((await ledger.prune(until)).requests)

    began = time.perf_counter()
    p99, most = await _beside(ledger, prune())
    took = time.perf_counter() - began
    return {"prune_p99_ms": p99, "prune_max_ms": most, "prune_per_s": gone[0] / took}


async def _beside(ledger: Ledger, work: Awaitable[object]) -> tuple[float, float]:
    """What calls take meanwhile, begun one after another with a rest: the 99th of 100, and the longest."""
    doing = asyncio.ensure_future(work)
    took: list[float] = []
    while not doing.done():
        took.append((await _timed(lambda: _call(ledger)))[0])
        await asyncio.sleep(_EVERY_S)
    await doing
    return percentile(sorted(took), 0.99), max(took)


async def _call(ledger: Ledger) -> None:
    number = next(_numbers)
    made = NewRequest(1000, "user0", f"now-{number}", False, b"\x07" * 32, "user_chat", datetime.now(UTC))
    await ledger.settle(await ledger.reserve(made, 9_000, _LIMITS), "done", [_ANSWER])


async def _median(work: Callable[[], Awaitable[object]]) -> float:
    return sorted([(await _timed(work))[0] for _ in range(_TIMES)])[_TIMES // 2]


def _settings(directory: Path) -> LedgerSettings:
    return LedgerSettings(path=directory / "ledger" / "ledger.sqlite3")


async def _timed(work: Callable[[], Awaitable[T]]) -> tuple[float, T]:
    began = time.perf_counter()
    result = await work()
    return 1e3 * (time.perf_counter() - began), result


def _resident_mb() -> float:
    """At its highest so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path(sys.argv[1]), int(sys.argv[2])))))
