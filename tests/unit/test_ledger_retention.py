"""Retention: old requests become daily sums, and no figure changes by it."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from bench.old_ledger import fill
from cortexd.errors import LedgerUnavailable, RequestNotFound
from cortexd.ledger import Ledger, Pruned, Spent, Stats, Totals, UsageQuery, UsageRow
from cortexd.ledger.keeping import retention
from cortexd.ledger.keeping.maintenance import check
from tests.unit.ledger_history import NOW, TODAY, expected, live
from tests.unit.test_ledger_parts import KIMI, at, attempt, audited, complete, request, rows, settings, told

pytestmark = pytest.mark.usefixtures("engine")

EVER = (date(2020, 1, 1), date(2100, 1, 1))
UIDS = (1000, 1001, 1002)
LONG_AGO = NOW - timedelta(days=100)  # in no month that is always kept
SOON = TODAY + timedelta(days=1)
GROUPS = ("day", "task_type", "provider", "model", "uid")


@dataclass(frozen=True)
class Figures:
    """All that a user or an administrator can see of sums."""

    totals: Totals
    stats: list[Stats]
    spent: list[Spent]
    reports: list[list[UsageRow]]


async def figures(ledger: Ledger) -> Figures:
    queries = [
        UsageQuery(uid, *EVER, groups)
        for size in (0, 1, 2, len(GROUPS))
        for groups in combinations(GROUPS, size)
        for uid in (None, 1001)
    ]
    return Figures(
        ledger.totals,
        [await ledger.stats(uid) for uid in (*UIDS, None)],
        [await ledger.spent(uid) for uid in UIDS],
        [await ledger.usage(query) for query in queries],
    )


async def reopened(ledger: Ledger, directory: Path) -> Ledger:
    await ledger.close()
    return await Ledger.open(settings(directory))


def try_to(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)


def count(path: Path, table: str) -> int:
    found: int = rows(path, f"SELECT count(*) FROM {table}")[0][0]
    return found


class TestFigures:
    @pytest.mark.parametrize("seed", range(2))
    async def test_stay_the_same_to_the_nano(self, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Totals, statistics since a reset, spent sums, reports: after each pruning they are what they were before."""
        monkeypatch.setattr(retention, "MAX_CHUNK", 7)
        chance = random.Random(seed)
        ledger, history = await live(tmp_path, chance)
        await ledger.reset_stats(1002)
        for _ in range(5):
            await complete(ledger, 11, uid=1002, started_at=LONG_AGO)
        before = await figures(ledger)
        path = settings(tmp_path).path
        audit = audited(path)
        gone = 0
        for age in sorted((chance.randrange(70, 140) for _ in range(3)), reverse=True):
            first_kept = TODAY - timedelta(days=age)
            pruned = await ledger.prune(first_kept)
            gone += pruned.requests
            assert await figures(ledger) == before
            again = audited(path)
            assert (again.requests, again.charged_nano) == (audit.requests, audit.charged_nano)
            assert (again.reserved_nano, again.wrong_rows, again.wrong_days, again.pruned) == (0, 0, False, gone)
            assert rows(path, f"SELECT 1 FROM requests WHERE day < '{first_kept}'") == []
            if chance.random() < 0.5:
                ledger = await reopened(ledger, tmp_path)
                assert await figures(ledger) == before
        assert gone == sum(row[0] for row in rows(path, "SELECT requests FROM prunings")) > 20
        for groups in (("hour",), ("label",), ("label", "provider")):
            query = UsageQuery(1001, *EVER, groups, "job" if "label" in groups else "")
            assert await ledger.usage(query) == expected(history, query, first_kept)
        await ledger.close()
        assert check(at(path)) == []

    async def test_stay_the_same_where_everything_goes(self, tmp_path: Path) -> None:
        """Also the newest rows may go: no key is used a second time, and every sum goes on."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, 2**61, uid=1001, started_at=LONG_AGO)
        await ledger.reset_stats(1000)
        keys = [await complete(ledger, 2**61, started_at=LONG_AGO) for _ in range(5)]
        path = settings(tmp_path).path
        before = await figures(ledger)
        ledger = await reopened(ledger, tmp_path)
        assert await ledger.prune(SOON) == Pruned(6, 1)
        assert [count(path, table) for table in ("requests", "attempts", "entries")] == [0, 0, 0]
        assert await figures(ledger) == before
        keys.append(await complete(ledger, 5, started_at=LONG_AGO))
        before = await figures(ledger)
        assert before.totals == Totals(7, 6 * 2**61 + 5)
        assert before.stats[0].total_cost_nano == 5 * 2**61 + 5

        ledger = await reopened(ledger, tmp_path)
        assert await figures(ledger) == before
        assert await ledger.prune(SOON) == Pruned(1, 1)
        for _ in range(2):
            assert await figures(ledger) == before
            ledger = await reopened(ledger, tmp_path)
        await ledger.reset_stats(1000)
        keys.append(await complete(ledger, 3))
        ledger = await reopened(ledger, tmp_path)
        assert (await ledger.stats(1000)).total_cost_nano == 3
        assert ledger.totals == Totals(8, 6 * 2**61 + 8)
        assert keys == sorted(set(keys))
        await ledger.close()
        assert check(at(path)) == []

    async def test_go_on_beside_requests(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """While old requests are pruned new ones are reserved, settled, counted and reset, and nothing is lost."""
        monkeypatch.setattr(retention, "MAX_CHUNK", 3)
        ledger, history = await live(tmp_path, random.Random(8), count=80)
        before = ledger.totals

        async def use(uid: int) -> None:
            for number in range(40):
                await complete(ledger, 1_000, uid=uid)
                if number == 20:
                    await ledger.reset_stats(uid)

        pruned, *_ = await asyncio.gather(ledger.prune(SOON), *(use(uid) for uid in UIDS))
        assert pruned is not None
        assert pruned.requests > 20
        assert ledger.totals == before + Totals(120, 120_000)
        for uid in UIDS:
            assert (await ledger.stats(uid)).total_cost_nano == 19_000
        query = UsageQuery(None, *EVER, ("provider",))
        (old,) = (row for row in expected(history, query) if row.keys["provider"] == "claude")
        (now,) = (row for row in await ledger.usage(query) if row.keys["provider"] == "claude")
        assert (now.requests, now.cost_nano) == (old.requests + 120, old.cost_nano + 120_000)
        await ledger.close()
        assert check(at(settings(tmp_path).path)) == []


class TestWhatStays:
    async def test_this_month_and_the_last(self, tmp_path: Path) -> None:
        """However late the day, requests of the current and the previous month are not pruned, nor pending ones."""
        ledger = await Ledger.open(settings(tmp_path))
        first = NOW.replace(day=1, hour=12)
        last_month = (first - timedelta(days=1)).replace(day=1)
        for started in (NOW, first, last_month):
            await complete(ledger, started_at=started)
        await complete(ledger, started_at=last_month - timedelta(days=1))
        open_key = await ledger.reserve(request(started_at=LONG_AGO), 9)
        assert await ledger.prune(date.max) == Pruned(1, 1)
        assert await ledger.prune(date.max) == Pruned(0, 0)
        settled = await ledger.settle(open_key, "done", [attempt(4)])
        assert settled.cost_nano == 4
        assert await ledger.prune(date.max) == Pruned(1, 1)
        await ledger.close()
        assert count(settings(tmp_path).path, "requests") == 3

    @pytest.mark.of_a_file
    async def test_reservations_are_found_after_a_crash(self, tmp_path: Path) -> None:
        """A request that is pending while others are pruned is settled as lost at what it had reserved."""
        ledger = await Ledger.open(settings(tmp_path))
        await ledger.reserve(request(request_id="open"), 700)
        for _ in range(3):
            await complete(ledger, started_at=LONG_AGO)
        assert (await ledger.prune(SOON)).requests == 3
        ledger = await reopened(ledger, tmp_path)
        found = await ledger.find(1000, "open")
        await ledger.close()
        assert ledger.recovered == 1
        assert found is not None
        assert found.cost_nano == 700

    async def test_the_request_id_is_free_again(self, tmp_path: Path) -> None:
        """A pruned request is not found, takes no outcome, and its id can be used for another one."""
        ledger = await Ledger.open(settings(tmp_path))
        key = await complete(ledger, request_id="job", caller_chosen=True, started_at=LONG_AGO)
        await told(ledger, 1000, "job", 0.5)
        await ledger.prune(SOON)
        assert await ledger.find(1000, "job") is None
        with pytest.raises(RequestNotFound):
            await told(ledger, 1000, "job", 0.5)
        assert await complete(ledger, request_id="job", caller_chosen=True) > key
        await ledger.close()
        assert count(settings(tmp_path).path, "outcomes") == 0


@pytest.mark.of_a_file
class TestSafeguards:
    async def test_entries_are_append_only_again(self, tmp_path: Path) -> None:
        """After a pruning SQLite refuses to change or delete entries as before."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, started_at=LONG_AGO)
        await complete(ledger)
        triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
        path = settings(tmp_path).path
        before = [tuple(row) for row in rows(path, triggers)]
        await ledger.prune(SOON)
        await ledger.close()
        assert [tuple(row) for row in rows(path, triggers)] == before
        for sql in ("DELETE FROM entries", "UPDATE entries SET nano = 0"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                try_to(path, sql)

    async def test_every_pruning_is_written_down(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each transaction leaves its row: when, up to which day, how many requests and entries, what they had cost."""
        monkeypatch.setattr(retention, "MAX_CHUNK", 2)
        ledger = await Ledger.open(settings(tmp_path))
        for number in range(3):
            await complete(ledger, 100 + number, started_at=LONG_AGO + timedelta(days=number))
        key = await ledger.reserve(request(started_at=LONG_AGO + timedelta(days=9)), 1)
        await ledger.settle(key, "done", [attempt(2**62), attempt(2**62, KIMI), attempt(1)])
        first_kept = TODAY - timedelta(days=80)
        assert await ledger.prune(first_kept) == Pruned(4, 4)
        await ledger.close()
        found = rows(settings(tmp_path).path, "SELECT * FROM prunings ORDER BY id")
        assert [(row["before"], row["requests"], row["entries"]) for row in found] == [
            (first_kept.isoformat(), 2, 6),
            (first_kept.isoformat(), 2, 7),
            (first_kept.isoformat(), 0, 0),  # for the cost that did not fit into one row
        ]
        assert [row["charged_nano"] for row in found] == [201, 2**63 - 1, 102]

    async def test_an_error_in_between_leaves_all_as_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where a chunk cannot be finished it is as if it had not begun, and others' writes beside it are kept."""
        ledger, _ = await live(tmp_path, random.Random(2), count=40)
        before = await figures(ledger)

        def fail(*_: Any) -> None:
            raise RuntimeError("in the middle")

        with monkeypatch.context() as broken:
            broken.setattr(retention, "_audit", fail)
            with pytest.raises(Exception, match="RuntimeError"):
                await ledger.prune(SOON)
        assert await figures(ledger) == before
        assert (await ledger.prune(SOON)).requests > 0
        assert await figures(ledger) == before
        await ledger.close()

    async def test_what_does_not_add_up_stays(self, tmp_path: Path) -> None:
        """A request whose cost was changed by hand is not pruned away; the error says where to look."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, 500, request_id="odd", started_at=LONG_AGO)
        path = settings(tmp_path).path
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE requests SET cost_nano = 499")
        with pytest.raises(LedgerUnavailable, match=r"request odd .* 499 .* 500; run cortexctl ledger check"):
            await ledger.prune(SOON)
        await ledger.close()
        assert count(path, "entries") == 3


# Prunes in small chunks and says so when each is done and not yet committed.
PRUNER = """
import asyncio, os, sys
from datetime import date
from pathlib import Path
from tests.unit.test_ledger_parts import settings
from cortexd.ledger import Ledger
from cortexd.ledger.keeping import retention

prune_chunk = retention.prune_chunk

def told(connection, before):
    chunk = prune_chunk(connection, before)
    os.write(1, b"chunk\\n")
    return chunk

retention.MAX_CHUNK = 5
retention.prune_chunk = told

async def main():
    ledger = await Ledger.open(settings(Path(sys.argv[1])))
    await ledger.prune(date.max)
    await ledger.close()

asyncio.run(main())
"""


@pytest.mark.of_a_file
class TestKill:
    async def test_between_chunks_loses_and_doubles_nothing(self, tmp_path: Path) -> None:
        """A daemon killed while it prunes, again and again: every figure stays, and the work goes on where it was."""
        ledger, _ = await live(tmp_path, random.Random(6), count=250, days=300)
        before = await figures(ledger)
        await ledger.close()
        path = settings(tmp_path).path
        chance = random.Random(1)
        left = [count(path, "requests")]
        command = [sys.executable, "-c", PRUNER, str(tmp_path)]
        for _ in range(3):
            with subprocess.Popen(command, stdout=subprocess.PIPE) as daemon:
                assert daemon.stdout is not None
                for _ in range(chance.randrange(1, 12)):
                    daemon.stdout.readline()
                daemon.kill()
            ledger = await Ledger.open(settings(tmp_path))
            assert await figures(ledger) == before
            await ledger.close()
            assert check(at(path)) == []
            left.append(count(path, "requests"))
        assert left == sorted(left, reverse=True)
        assert 0 < left[-1] < left[0], "no kill came in the middle: the test proves nothing"
        assert sum(row[0] for row in rows(path, "SELECT requests FROM prunings")) == left[0] - left[-1]


# Prunes where the file cannot grow, and again once it can. Prints what it was told, and whether all figures stayed.
CRAMPED = """
import asyncio, random, resource, sys
from datetime import date
from pathlib import Path
from tests.unit.ledger_history import live
from tests.unit.test_ledger_parts import settings
from tests.unit.test_ledger_retention import figures
from cortexd.errors import LedgerUnavailable

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main():
    directory = Path(sys.argv[1])
    ledger, _ = await live(directory, random.Random(5), count=150, days=300)
    before = await figures(ledger)
    path = settings(directory).path
    limit(path.with_name(path.name + "-wal").stat().st_size)
    try:
        await ledger.prune(date.max)
    except LedgerUnavailable as error:
        print(error)
    refused = await figures(ledger) == before
    limit(resource.RLIM_INFINITY)
    pruned = await ledger.prune(date.max)
    print(refused, pruned.requests > 50, await figures(ledger) == before)
    await ledger.close()

asyncio.run(main())
"""


@pytest.mark.of_a_file
class TestFullDisk:
    def test_changes_nothing_until_there_is_space(self, tmp_path: Path) -> None:
        """A pruning that the disk has no space for is refused in words, and done later; no figure changes."""
        command = [sys.executable, "-c", CRAMPED, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        refusal, stayed = done.stdout.splitlines()
        assert refusal.startswith("the ledger cannot be written")
        assert stayed == "True True True"
        assert check(at(settings(tmp_path).path)) == []


@pytest.mark.of_a_file
class TestSteps:
    async def test_leave_one_sum_of_a_kind(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """However many steps it takes: a row a day, user, task type, provider and model, and one that tells of it."""
        monkeypatch.setattr(retention, "MAX_CHUNK", 2)
        ledger = await Ledger.open(settings(tmp_path))
        for number in range(12):
            await complete(ledger, 100, uid=1000 + number % 2, started_at=LONG_AGO)
        key = await ledger.reserve(request(started_at=LONG_AGO), 1)
        await ledger.settle(key, "failed", [attempt(100, KIMI, outcome="server", cost_known=False)])
        assert await ledger.prune(SOON) == Pruned(13, 1)
        await ledger.close()
        path = settings(tmp_path).path
        found = rows(
            path, "SELECT uid, provider, requests, input_tokens, cost_nano, cost_known FROM daily ORDER BY 1, 2"
        )
        assert [tuple(row) for row in found] == [
            (1000, "claude", 6, 600, 600, 1),
            (1000, "kimi_k2", 1, 100, 100, 0),
            (1001, "claude", 6, 600, 600, 1),
        ]
        found = rows(path, "SELECT requests, entries, charged_nano FROM prunings")
        assert [tuple(row) for row in found] == [(13, 39, 1300)]

    async def test_let_writes_in_between(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever reserves while much is pruned is served between two steps, not after the last."""
        monkeypatch.setattr(retention, "MAX_CHUNK", 1)
        ledger = await Ledger.open(settings(tmp_path))
        for _ in range(60):
            await complete(ledger, started_at=LONG_AGO)
        pruning = asyncio.ensure_future(ledger.prune(SOON))
        left: list[int] = []
        while not pruning.done():
            await complete(ledger)
            left.append(count(settings(tmp_path).path, "requests") - len(left))
        assert (await pruning).requests == 60
        await ledger.close()
        assert len(set(left)) > 5

    async def test_of_two_prunings_do_not_meet(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Prunings take turns: nothing is counted twice."""
        monkeypatch.setattr(retention, "MAX_CHUNK", 2)
        ledger, _ = await live(tmp_path, random.Random(4), count=60)
        before = await figures(ledger)
        number = count(settings(tmp_path).path, "requests")
        pruned = await asyncio.gather(*(ledger.prune(SOON) for _ in range(3)))
        gone = sum(one.requests for one in pruned)
        assert gone == number - count(settings(tmp_path).path, "requests") > 0
        assert await figures(ledger) == before
        await ledger.close()
        assert check(at(settings(tmp_path).path)) == []


@pytest.mark.of_a_file
class TestFile:
    async def test_shrinks(self, tmp_path: Path) -> None:
        """What pruned requests took goes back to the disk, but for a little for those to come; the rest is whole."""
        path = settings(tmp_path).path
        await (await Ledger.open(settings(tmp_path))).close()
        fill(path, 4_000)
        full = path.stat().st_size
        ledger = await Ledger.open(settings(tmp_path))
        for _ in range(3):
            await complete(ledger)
        before = await figures(ledger)
        assert (await ledger.prune(SOON)).requests == 4_000
        assert await figures(ledger) == before
        await ledger.close()
        assert path.stat().st_size < full / 2
        assert check(at(path)) == []

    async def test_of_an_earlier_version_keeps_its_size(self, tmp_path: Path) -> None:
        """A file that was not made to shrink is pruned all the same; what is free in it serves the rows to come."""
        path = settings(tmp_path).path
        await (await Ledger.open(settings(tmp_path))).close()
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("PRAGMA auto_vacuum = NONE; VACUUM")
        fill(path, 3_000)
        full = path.stat().st_size
        ledger = await Ledger.open(settings(tmp_path))
        assert (await ledger.prune(SOON)).requests == 3_000
        await ledger.close()
        assert path.stat().st_size >= full
        assert check(at(path)) == []


class TestClamp:
    @pytest.mark.parametrize(
        ("before", "today", "first_kept"),
        [
            (date(2026, 11, 24), date(2026, 11, 24), date(2026, 10, 1)),
            (date(2026, 12, 31), date(2027, 1, 1), date(2026, 12, 1)),
            (date(2026, 9, 3), date(2026, 11, 1), date(2026, 9, 3)),
        ],
    )
    def test_keeps_the_previous_month(self, before: date, today: date, first_kept: date) -> None:
        """Over a new year too."""
        assert retention.clamped(before, today) == first_kept
