"""Rollups: the sums that the writer keeps say at every time what the requests add up to."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from itertools import combinations
from pathlib import Path

import pytest

from bench.old_ledger import fill
from cortexd.ledger import Ledger, Limit, Period, Spent, Stats, UsageQuery, UsageRow
from cortexd.ledger.keeping.maintenance import check
from tests.unit.ledger_history import NOW, TODAY, live
from tests.unit.test_ledger_parts import at, attempt, complete, make_older, request, rows, settings

pytestmark = pytest.mark.usefixtures("engine")

EVER = (date(2020, 1, 1), date(2100, 1, 1))
UIDS = (1000, 1001, 1002)
GROUPS = ("day", "task_type", "provider", "model", "uid", "host")
LIMITS = [
    Limit("user", "bert", Period.MONTH, 2**62, frozenset({1001})),
    Limit("group", "staff", Period.DAY, 2**62, frozenset({1000, 1001, 1002})),
    Limit("machine", "", Period.MONTH, 2**62, None),
]


async def figures(ledger: Ledger) -> tuple[list[Stats], list[Spent], list[list[UsageRow]], list[int]]:
    """All that is read from rollups."""
    queries = [UsageQuery(uid, *EVER, groups) for groups in combinations(GROUPS, 2) for uid in (None, 1001)]
    return (
        [await ledger.stats(uid) for uid in (*UIDS, None)],
        [await ledger.spent(uid) for uid in UIDS],
        [await ledger.usage(query) for query in queries],
        [state.spent_nano for state in await ledger.budgets(LIMITS)],
    )


class TestRollups:
    @pytest.mark.of_a_file
    async def test_of_an_older_ledger(self, tmp_path: Path) -> None:
        """Made anew from what is there and what was pruned: statistics since a reset, budgets since a uid went to
        another user, reports by everything."""
        ledger, _ = await live(tmp_path, random.Random(17), days=90)
        for uid in UIDS:
            await complete(ledger, 2**61, uid=uid, started_at=NOW)
        await ledger.prune(TODAY - timedelta(days=70))
        path = settings(tmp_path).path
        await ledger.take_over(1001, "bert")
        await ledger.reset_stats(1000)
        (mark,) = rows(path, "SELECT max(seq) FROM entries")
        await complete(ledger, 7, uid=1001, user="bert")
        await complete(ledger, 11, started_at=NOW - timedelta(days=1))
        before, totals = await figures(ledger), ledger.totals
        await ledger.close()

        make_older(path, "0008")
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM carried")
            connection.executemany("INSERT INTO resets VALUES (?, ?)", [(1000, mark[0]), (1001, mark[0])])
        ledger = await Ledger.open(settings(tmp_path))
        assert await figures(ledger) == before
        assert ledger.totals == totals
        await ledger.close()
        assert check(at(path)) == []

    async def test_are_bounded_by_days_and_names(self, tmp_path: Path) -> None:
        """However many requests, a day of a user with one model is one row, and a thousand take no more."""
        ledger = await Ledger.open(settings(tmp_path))
        for _ in range(20):
            await complete(ledger, 3)
        await ledger.settle(await ledger.reserve(request(), 5), "failed", [])
        await ledger.close()
        found = rows(settings(tmp_path).path, "SELECT requests, provider, low FROM rollups ORDER BY provider")
        assert [tuple(row) for row in found] == [(1, "", 0), (20, "claude", 60)]

    async def test_keep_what_a_refused_group_would_have_added(self, tmp_path: Path) -> None:
        """A settlement that is refused adds nothing; those beside it add what they must."""
        ledger = await Ledger.open(settings(tmp_path))
        key = await ledger.reserve(request(), 5)
        await ledger.settle(key, "done", [attempt(4)])
        with pytest.raises(Exception, match="not pending"):
            await ledger.settle(key, "done", [attempt(4)])
        assert (await ledger.stats(1000)).total_cost_nano == 4
        await ledger.close()
        assert check(at(settings(tmp_path).path)) == []

    @pytest.mark.of_a_file
    async def test_of_a_made_up_past(self, tmp_path: Path) -> None:
        """What benchmarks fill a ledger with is one that the daemon could have written."""
        await (await Ledger.open(settings(tmp_path))).close()
        fill(settings(tmp_path).path, 300)
        assert check(at(settings(tmp_path).path)) == []
