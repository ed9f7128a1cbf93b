"""What machines wait for on a ledger in PostgreSQL while one of them prunes: reserve and settle at a steady pace.

Two machines in this process, each with a ledger of its own, before a pruning and while it runs. The other one also
resets a user's statistics, for which a transaction has to be alone: it waits until each step is over, and all wait for
it. The database notes by itself who waits for a lock for longer than LONG_MS. It is as tests/postgresql.py makes it: no
disk confirms a commit.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from bench.cases.prune import Calls, call
from bench.figures import Case, Figure, Values
from bench.lab import Lab
from bench.old_ledger import PER_DAY, fill_shared
from bench.processes import CannotMeasure
from cortexd.config.settings import LedgerSettings
from cortexd.ledger import Ledger
from cortexd.ledger.keeping.machine import Machine

if TYPE_CHECKING:
    from tests.postgresql import Cluster

REQUESTS, REQUESTS_QUICK = 200_000, 20_000
DAYS, DAYS_QUICK = 12, 1  # that are pruned, of PER_DAY requests each
QUIET_S, QUIET_QUICK_S = 20, 5
ALONE_EVERY_S = 0.2
LONG_MS = 50
_CONFIGURED = f"deadlock_timeout = {LONG_MS}ms\nlog_lock_waits = on\nshared_buffers = 256MB\n"
_FIRST = date(2024, 1, 1)


def run(lab: Lab) -> Values:
    from tests.postgresql import cluster, programs

    if programs() is None:
        raise CannotMeasure("PostgreSQL is not installed: apt-get install postgresql")
    requests, days, quiet_s = (REQUESTS_QUICK, DAYS_QUICK, QUIET_QUICK_S) if lab.quick else (REQUESTS, DAYS, QUIET_S)
    with cluster(_CONFIGURED) as database, tempfile.TemporaryDirectory(prefix="cortexd-bench-") as directory:
        url = database.database()
        asyncio.run(_begin(url, Path(directory)))
        fill_shared(url, requests, _FIRST.isoformat())
        found = asyncio.run(_measure(url, Path(directory), days, quiet_s))
        return found | {"fleet_prune.requests": requests, **_told_by(database, url, days)}


async def _begin(url: str, directory: Path) -> None:
    await (await _machine(url, directory, 1)).close()


async def _machine(url: str, directory: Path, number: int) -> Ledger:
    settings = LedgerSettings(path=directory / str(number) / "ledger.sqlite3", url=url)
    return await Ledger.open(settings, machine=Machine(f"{number:032x}", f"machine{number}", time_zone="UTC"))


async def _measure(url: str, directory: Path, days: int, quiet_s: float) -> dict[str, float]:
    own, other = await _machine(url, directory, 1), await _machine(url, directory, 2)
    end = time.monotonic() + quiet_s
    quiet = await _three(own, other, lambda: time.monotonic() < end)
    pruning = asyncio.ensure_future(own.prune(_FIRST + timedelta(days=days)))
    start = time.monotonic()
    busy = await _three(own, other, lambda: not pruning.done())
    per_s = (await pruning).requests / (time.monotonic() - start)
    await own.close()
    await other.close()
    return {
        "fleet_prune.per_s": per_s,
        "fleet_prune.calls": sum(len(each.took_ms) for each in busy),
        **_figures("", busy),
        **_figures("quiet_", quiet),
    }


def _figures(name: str, calls: Sequence[Calls]) -> dict[str, float]:
    own, other, alone = calls
    return {
        f"fleet_prune.{name}p50_ms": other.at(0.5),
        f"fleet_prune.{name}p99_ms": other.at(0.99),
        f"fleet_prune.{name}max_ms": other.at(1),
        f"fleet_prune.{name}own_max_ms": own.at(1),
        f"fleet_prune.{name}alone_max_ms": alone.at(1),
    }


async def _three(own: Ledger, other: Ledger, more: Callable[[], bool]) -> tuple[Calls, Calls, Calls]:
    """Of this machine, of the other, and what that one does alone."""
    calls = Calls(), Calls(), Calls()
    await asyncio.gather(call(own, calls[0], more), call(other, calls[1], more), _alone(other, calls[2], more))
    return calls


async def _alone(ledger: Ledger, calls: Calls, more: Callable[[], bool]) -> None:
    while more():
        begun = time.perf_counter()
        await ledger.reset_stats(1000)
        calls.took_ms.append(1e3 * (time.perf_counter() - begun))
        await asyncio.sleep(ALONE_EVERY_S)


def _told_by(database: Cluster, url: str, days: int) -> dict[str, float]:
    """The number of a day's row of `prunings` grows with each step."""
    [(gone, steps)] = database.ask("SELECT sum(requests), max(id) FROM prunings", make_url(url).database or "")
    if gone != days * PER_DAY:
        raise CannotMeasure(f"{gone} requests were pruned, and not {days * PER_DAY}")
    waits = (database.directory / "log").read_text().count(" still waiting for ")
    return {"fleet_prune.step": int(str(gone)) / int(str(steps)), "fleet_prune.waits": waits}


_QUIET = ("max", "p99", "p50", "own_max", "alone_max")
CASE = Case(
    name="fleet_prune",
    summary="what machines wait for while one prunes their ledger in PostgreSQL (needs Debian's postgresql)",
    figures=(
        Figure("fleet_prune.requests", "", "in the ledger"),
        Figure("fleet_prune.waits", "", f"times that anybody waited for a lock for {LONG_MS} ms", at_most=0),
        Figure("fleet_prune.max_ms", "ms", "another machine's longest reserve and settle meanwhile", at_most=50),
        Figure("fleet_prune.p99_ms", "ms", "the 99th of 100 of them"),
        Figure("fleet_prune.p50_ms", "ms", "their median"),
        Figure("fleet_prune.own_max_ms", "ms", "the pruning machine's longest", at_most=50),
        Figure("fleet_prune.alone_max_ms", "ms", "the longest transaction that had to be alone", at_most=50),
        *(Figure(f"fleet_prune.quiet_{name}_ms", "ms", "the same without a pruning") for name in _QUIET),
        Figure("fleet_prune.calls", "", "calls meanwhile"),
        Figure("fleet_prune.step", "", "requests that a transaction prunes"),
        Figure("fleet_prune.per_s", "/s", "requests pruned per second"),
    ),
    run=run,
)
