"""A fleet on one ledger in PostgreSQL: 500 simulated machines on this machine's processors, the database beside them.

The database is as tests/postgresql.py makes it: what it has committed survives its own end, as in a file, and not a
power cut. Each machine has a connection of its own, to the database or to a PgBouncer before it, which has eight. Needs
Debian's postgresql and pgbouncer; as root they run as another user.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bench.figures import Case, Figure, Values
from bench.lab import Lab
from bench.processes import CannotMeasure
from bench.samples import percentile

if TYPE_CHECKING:
    from tests.postgresql import Cluster

MACHINES, MACHINES_QUICK = 500, 60
SECONDS, SECONDS_QUICK = 12.0, 4.0
AT_EACH = 8  # requests under way at each machine, where it is asked how much all of them get through
CROWDED, IN_A_CROWD = 4, 256  # machines, and requests under way at each of them
FEW = 64  # requests under way in all, each at another machine
_WANTED = 2500.0  # pairs a second
_PROCESSES = 4
_POOL = 8  # connections of the pooler
_CONFIGURED = f"max_connections = {2 * MACHINES}\nshared_buffers = 256MB\n"
_DEADLINE_S = 240
_ENOUGH = 2**62
_SHORT = 2.0  # seconds
_ROOM = 100  # requests that a budget has left, of which more come
_HIGHEST = """
SELECT max(sum) FROM (SELECT sum(CASE kind WHEN 'release' THEN -nano ELSE nano END) OVER (ORDER BY seq) AS sum
FROM entries) AS running
"""
_SPENT = "SELECT coalesce(sum(nano), 0) FROM entries WHERE kind = 'charge'"


@dataclass(frozen=True)
class Round:
    pairs_per_s: float
    refused: int
    took_ms: Sequence[float]
    db_cpu_us: float
    cpu_us: float


@dataclass(frozen=True)
class Fleet:
    """`name`: the database's. `url`: where machines reach it. `directory`: for what each keeps beside it."""

    database: Cluster
    name: str
    url: str
    directory: str
    machines: int
    seconds: float

    def round(self, machines: int | None = None, processes: int = _PROCESSES, **wish: float | None) -> Round:
        """`wide` and `per_s` of the whole fleet."""
        numbers = range(1, (machines or self.machines) + 1)
        shared = {name: value / processes for name, value in wish.items() if name in ("wide", "per_s") and value}
        wishes = [
            {**wish, **shared, "machines": list(numbers[place::processes]), "seconds": self.seconds,
             "url": self.url, "directory": self.directory}
            for place in range(processes)
        ]  # fmt: skip
        told, cpu_s = _run(wishes, self.database)
        took = sorted(ms for one in told for ms in one["took_ms"])
        pairs = sum(one["pairs"] for one in told)
        refused = sum(one["refused"] for one in told)
        each, own_s = 1e6 / max(1, pairs), sum(one["cpu_s"] for one in told)
        return Round(pairs / self.seconds, refused, took, each * cpu_s, each * own_s)

    def asked(self, statement: str) -> int:
        return int(str(self.database.ask(statement, self.name)[0][0] or 0))

    def floor_us(self) -> float:
        """The database's CPU for what a pair is made of at the least: two transactions, a row each, from as many
        connections. These begin and end in a short round as well, which is taken off."""
        self.database.ask("CREATE TABLE floor (nano BIGINT)", self.name)
        taken: list[tuple[int, float]] = []
        for seconds in (_SHORT, _SHORT + self.seconds):
            before = self.asked("SELECT count(*) FROM floor"), self.database.cpu_seconds()
            self.database.hammer("INSERT INTO floor VALUES (1)", self.name, self.machines, seconds)
            rows = self.asked("SELECT count(*) FROM floor") - before[0]
            taken.append((rows, self.database.cpu_seconds() - before[1]))
        (few, little), (many, much) = taken
        return 2e6 * (much - little) / max(1, many - few)

    def scarce(self) -> tuple[int, int]:
        """By how many nano-dollars a budget was passed that had room for few of those who came, and how many did not
        get in."""
        limit = self.asked(_SPENT) + _ROOM * 9_000
        scarce = self.round(wide=FEW, budget_nano=limit)
        if not scarce.refused:
            raise CannotMeasure("no reservation met the budget's limit")
        return max(0, self.asked(_HIGHEST) - limit), scarce.refused


def run(lab: Lab) -> Values:
    with _fleet(lab.quick) as fleet, lab.ledger_directory() as files:
        fleet.round(wide=_PROCESSES)  # warms up, and enters the machines
        most = AT_EACH * fleet.machines
        apart = fleet.round(wide=most)
        together = fleet.round(wide=most, budget_nano=_ENOUGH)
        crowd = fleet.round(machines=CROWDED, wide=CROWDED * IN_A_CROWD)
        few = fleet.round(wide=FEW)
        few_together = fleet.round(wide=FEW, budget_nano=_ENOUGH)
        half = fleet.round(per_s=min(few.pairs_per_s, _WANTED) / 2)  # at a pace no two wait at a machine
        one = fleet.round(machines=1, processes=1, wide=1)
        file = _run(
            [{"machines": [1], "seconds": fleet.seconds, "path": f"{files}/ledger/ledger.sqlite3", "wide": 1}], None
        )[0]
        overshoot, refused = fleet.scarce()
        in_file = percentile(sorted(file[0]["took_ms"]), 0.5)
        direct = {
            "fleet.machines": fleet.machines,
            "fleet.pairs_per_s": apart.pairs_per_s,
            "fleet.db_cpu_us": apart.db_cpu_us,
            "fleet.cpu_us": apart.cpu_us,
            "fleet.floor_db_cpu_us": fleet.floor_us(),
            "fleet.p50_ms": percentile(apart.took_ms, 0.5),
            "fleet.crowd_pairs_per_s": crowd.pairs_per_s,
            "fleet.crowd_db_cpu_us": crowd.db_cpu_us,
            "fleet.few_pairs_per_s": few.pairs_per_s,
            "fleet.few_db_cpu_us": few.db_cpu_us,
            "fleet.few_cpu_us": few.cpu_us,
            "fleet.few_hot_ratio": few_together.pairs_per_s / few.pairs_per_s,
            "fleet.p99_ms_at_half": percentile(half.took_ms, 0.99),
            "fleet.p50_ms_at_half": percentile(half.took_ms, 0.5),
            "fleet.added_ms_p50": percentile(one.took_ms, 0.5) - in_file,
            "fleet.file_ms_p50": in_file,
            "fleet.hot_pairs_per_s": together.pairs_per_s,
            "fleet.hot_ratio": together.pairs_per_s / apart.pairs_per_s,
            "fleet.overshoot_nano": overshoot,
            "fleet.refused": refused,
        }
    with _fleet(lab.quick, pooled=True) as fleet:
        return {**direct, **_behind_pooler(fleet)}


def _behind_pooler(fleet: Fleet) -> Values:
    fleet.round(wide=_PROCESSES)
    most, before = AT_EACH * fleet.machines, fleet.database.pool_cpu_seconds()
    apart = fleet.round(wide=most)
    took = fleet.database.pool_cpu_seconds() - before
    together = fleet.round(wide=most, budget_nano=_ENOUGH)
    few = fleet.round(wide=FEW)
    half = fleet.round(per_s=min(few.pairs_per_s, _WANTED) / 2)
    overshoot, refused = fleet.scarce()
    return {
        "fleet.pooled.pairs_per_s": apart.pairs_per_s,
        "fleet.pooled.db_cpu_us": apart.db_cpu_us,
        "fleet.pooled.pooler_cpu_us": 1e6 * took / max(1.0, apart.pairs_per_s * fleet.seconds),
        "fleet.pooled.cpu_us": apart.cpu_us,
        "fleet.pooled.hot_ratio": together.pairs_per_s / apart.pairs_per_s,
        "fleet.pooled.few_pairs_per_s": few.pairs_per_s,
        "fleet.pooled.few_db_cpu_us": few.db_cpu_us,
        "fleet.pooled.p99_ms_at_half": percentile(half.took_ms, 0.99),
        "fleet.pooled.overshoot_nano": overshoot,
        "fleet.pooled.refused": refused,
    }


@contextmanager
def _fleet(quick: bool, pooled: bool = False) -> Iterator[Fleet]:
    from tests.postgresql import cluster, programs

    if programs() is None:
        raise CannotMeasure("PostgreSQL is not installed: apt-get install postgresql")
    with cluster(_CONFIGURED) as database, tempfile.TemporaryDirectory(prefix="cortexd-bench-") as directory:
        size = (MACHINES_QUICK, SECONDS_QUICK) if quick else (MACHINES, SECONDS)
        url = database.database()
        name = urlsplit(url).path[1:]
        with database.pooled(url, _POOL) if pooled else nullcontext(url) as reached:
            yield Fleet(database, name, reached, directory, *size)


def _run(wishes: Sequence[Mapping[str, object]], database: Cluster | None) -> tuple[list[dict[str, Any]], float]:
    """What each process tells, and the database's CPU from when all were ready."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "bench.machines"]
    running = [subprocess.Popen([*command, json.dumps(wish)], stdin=pipe, stdout=pipe, text=True) for wish in wishes]
    try:
        for process in running:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise CannotMeasure("a simulated machine could not open its ledger")
        before = database.cpu_seconds() if database else 0.0
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate(timeout=_DEADLINE_S)[0] for process in running]
        if any(process.returncode for process in running):
            raise CannotMeasure("a simulated machine failed; its error is above")
        told = [json.loads(text) for text in said]
        return told, (database.cpu_seconds() if database else 0.0) - before
    finally:
        for process in running:
            process.kill()


CASE = Case(
    name="fleet",
    summary="500 machines on one ledger in PostgreSQL: pairs of reserve and settle (needs Debian's postgresql)",
    figures=(
        Figure("fleet.machines", "", "simulated, in four processes, each with a connection"),
        Figure("fleet.pairs_per_s", "/s", f"reserve and settle, {AT_EACH} under way at each", at_least=_WANTED),
        Figure("fleet.db_cpu_us", "µs", "the database's CPU for each of these pairs", at_most=80),
        Figure("fleet.cpu_us", "µs", "the machines' own CPU for each of them"),
        Figure("fleet.floor_db_cpu_us", "µs", "that for two transactions of a row each, by pgbench"),
        Figure("fleet.p50_ms", "ms", "their median"),
        Figure("fleet.crowd_pairs_per_s", "/s", f"{CROWDED} machines, {IN_A_CROWD} under way at each"),
        Figure("fleet.crowd_db_cpu_us", "µs", "the database's CPU for each of these", at_most=80),
        Figure("fleet.few_pairs_per_s", "/s", f"with {FEW} under way in all, each at another machine"),
        Figure("fleet.few_db_cpu_us", "µs", "the database's CPU for each of these"),
        Figure("fleet.few_cpu_us", "µs", "the machines' own"),
        Figure("fleet.few_hot_ratio", "×", "the same under one budget, over that"),
        Figure(
            "fleet.p99_ms_at_half", "ms", "a pair, the 99th of 100, at a pace of half of those (or 2,500)", at_most=50
        ),
        Figure("fleet.p50_ms_at_half", "ms", "their median"),
        Figure("fleet.added_ms_p50", "ms", "a single pair's median over a file's", at_most=2.5),
        Figure("fleet.file_ms_p50", "ms", "a single pair's median in a file"),
        Figure("fleet.hot_pairs_per_s", "/s", "the same as the first, all under one budget"),
        Figure("fleet.hot_ratio", "×", "that over the first", at_least=0.7),
        Figure("fleet.overshoot_nano", "", "nano-dollars by which a budget was passed, replayed from the entries", 0),
        Figure("fleet.refused", "", "reservations that this budget refused meanwhile"),
        Figure("fleet.pooled.pairs_per_s", "/s", "as the first, through PgBouncer", at_least=_WANTED),
        Figure("fleet.pooled.db_cpu_us", "µs", "the database's CPU for each of these pairs", at_most=80),
        Figure("fleet.pooled.pooler_cpu_us", "µs", "PgBouncer's, with the machines' beginnings"),
        Figure("fleet.pooled.cpu_us", "µs", "the machines' own"),
        Figure("fleet.pooled.hot_ratio", "×", "the same under one budget, over that", at_least=0.7),
        Figure("fleet.pooled.few_pairs_per_s", "/s", f"with {FEW} under way in all, each at another machine"),
        Figure("fleet.pooled.few_db_cpu_us", "µs", "the database's CPU for each of these"),
        Figure("fleet.pooled.p99_ms_at_half", "ms", "a pair, the 99th of 100, at half of those (or 2,500)", at_most=50),
        Figure("fleet.pooled.overshoot_nano", "", "nano-dollars by which a budget was passed there", 0),
        Figure("fleet.pooled.refused", "", "reservations that it refused meanwhile"),
    ),
    run=run,
)
