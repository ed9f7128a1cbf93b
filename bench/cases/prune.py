"""What calls wait for the ledger while it prunes: reserve and settle at a steady pace, with and without a pruning.

The ledger's own threads in this process, its file on the disk. Both halves are measured in the same run, on a file of
the same size: before the pruning, while it runs.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from bench.figures import Case, Figure, Values
from bench.lab import Lab
from bench.old_ledger import fill
from bench.samples import percentile
from cortexd.config.settings import LedgerSettings
from cortexd.domain.messages import Usage
from cortexd.ledger import AttemptRecord, Ledger, NewRequest

OLD, OLD_QUICK = 1_000_000, 50_000
QUIET_S, QUIET_QUICK_S = 120, 20
PER_S = 50
_numbers = itertools.count(1)


@dataclass(slots=True)
class Calls:
    """Milliseconds of each call, both transactions together, from when it was due; sorted by `at`."""

    took_ms: list[float] = field(default_factory=list)

    def at(self, fraction: float) -> float:
        return percentile(sorted(self.took_ms), fraction)


def run(lab: Lab) -> Values:
    with lab.ledger_directory() as directory:
        return asyncio.run(measure(directory / "ledger" / "ledger.sqlite3", OLD_QUICK if lab.quick else OLD, lab.quick))


async def measure(path: Path, old: int, quick: bool) -> dict[str, float]:
    settings = LedgerSettings(path=path)
    await (await Ledger.open(settings)).close()
    await asyncio.to_thread(fill, path, old)
    full = path.stat().st_size
    ledger = await Ledger.open(settings)
    quiet, busy = Calls(), Calls()
    end = time.monotonic() + (QUIET_QUICK_S if quick else QUIET_S)
    await call(ledger, quiet, lambda: time.monotonic() < end)
    pruning = asyncio.ensure_future(ledger.prune(date(2025, 12, 1)))
    with _largest(path.with_name(path.name + "-wal")) as wal:
        start = time.monotonic()
        await call(ledger, busy, lambda: not pruning.done())
        took = time.monotonic() - start
    pruned = await pruning
    await ledger.close()
    return {
        "prune.quiet_p50_ms": quiet.at(0.5),
        "prune.quiet_p99_ms": quiet.at(0.99),
        "prune.quiet_max_ms": quiet.at(1),
        "prune.p50_ms": busy.at(0.5),
        "prune.p99_ms": busy.at(0.99),
        "prune.max_ms": busy.at(1),
        "prune.p99_ratio": busy.at(0.99) / quiet.at(0.99),
        "prune.per_s": pruned.requests / took,
        "prune.minutes": took / 60,
        "prune.calls": len(busy.took_ms),
        "prune.wal_mb": wal() / 1e6,
        "prune.file_mb": full / 1e6,
        "prune.file_after_mb": path.stat().st_size / 1e6,
    }


async def call(ledger: Ledger, calls: Calls, more: Callable[[], bool]) -> None:
    """PER_S calls a second, each begun when it is due whether or not the last one has ended."""
    due, under_way = time.perf_counter(), set()
    while more():
        task = asyncio.ensure_future(_one(ledger, calls, due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        due += 1 / PER_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await asyncio.gather(*under_way)


async def _one(ledger: Ledger, calls: Calls, due: float) -> None:
    number = next(_numbers)
    made = NewRequest(1000 + number % 20, "bench", f"now-{number}", False, b"\x07" * 32, "user_chat", datetime.now(UTC))
    key = await ledger.reserve(made, 9_000)
    answer = AttemptRecord("claude", "claude-sonnet-5-5", "ok", 5_000, True, Usage(100, 20, 10, 0, 5), 900)
    await ledger.settle(key, "done", [answer])
    calls.took_ms.append(1e3 * (time.perf_counter() - due))


@contextmanager
def _largest(path: Path) -> Iterator[Callable[[], int]]:
    """The largest size of a file meanwhile, looked at twice a second."""
    seen = [0]

    async def look() -> None:
        while True:
            if path.exists():
                seen.append(os.stat(path).st_size)
            await asyncio.sleep(0.5)

    looking = asyncio.ensure_future(look())
    try:
        yield lambda: max(seen)
    finally:
        looking.cancel()


CASE = Case(
    name="prune",
    summary="what calls wait for the ledger while a million old requests are pruned",
    figures=(
        Figure("prune.p99_ms", "ms", "reserve and settle, the 99th of 100, while requests are pruned", at_most=30),
        Figure("prune.p99_ratio", "×", "that over the same without a pruning"),
        Figure("prune.p50_ms", "ms", "reserve and settle, median, while requests are pruned"),
        Figure("prune.max_ms", "ms", "the longest of them"),
        Figure("prune.quiet_p50_ms", "ms", "median without a pruning"),
        Figure("prune.quiet_p99_ms", "ms", "the 99th of 100 without a pruning"),
        Figure("prune.quiet_max_ms", "ms", "the longest without a pruning"),
        Figure("prune.calls", "", f"calls meanwhile, {PER_S} a second"),
        Figure("prune.per_s", "/s", "requests pruned per second"),
        Figure("prune.minutes", "min", "the pruning took"),
        Figure("prune.wal_mb", "MB", "the write-ahead log at its largest"),
        Figure("prune.file_mb", "MB", "the ledger before"),
        Figure("prune.file_after_mb", "MB", "the ledger after"),
    ),
    run=run,
)
