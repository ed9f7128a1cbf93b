"""Reports of what requests used and cost; outcomes, preferences and limits that the ledger keeps beside them."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from pathlib import Path

import pytest

from cortexd.errors import InvalidArgument, RequestNotFound, TooLarge
from cortexd.ledger import Ledger, LimitOverride, Stats, UsageQuery
from cortexd.ledger.engines import place_of
from cortexd.ledger.reading import usage
from tests.unit.ledger_history import TODAY, expected, live
from tests.unit.test_ledger_parts import CLAUDE, KIMI, attempt, complete, request, rows, settings, told

pytestmark = pytest.mark.usefixtures("engine")

GROUPS = ("day", "hour", "task_type", "provider", "model", "label", "app", "uid")
EVER = (date(2020, 1, 1), date(2100, 1, 1))


class TestReport:
    async def test_equals_what_the_requests_add_up_to(self, tmp_path: Path) -> None:
        """By every pair of groupings, for one user and for all, any range of days: to the nano and the token."""
        ledger, history = await live(tmp_path, random.Random(3))
        some_days = (TODAY - timedelta(days=90), TODAY - timedelta(days=20))
        for size in range(3):
            for groups in combinations(GROUPS, size):
                for uid in (None, 1001):
                    for since, until in (EVER, some_days):
                        query = UsageQuery(uid, since, until, groups, "job" if "label" in groups else "")
                        assert await ledger.usage(query) == expected(history, query), query
        for groups in ((), ("day",), ("app", "uid")):
            query = UsageQuery(None, *EVER, groups, app="aider")
            assert await ledger.usage(query) == expected(history, query), query
        query = UsageQuery(None, *EVER, GROUPS, "job")
        assert await ledger.usage(query) == expected(history, query)
        await ledger.close()

    async def test_is_exact_past_64_bits(self, tmp_path: Path) -> None:
        """Five requests of 2^62 nano-dollars cost five times that."""
        ledger = await Ledger.open(settings(tmp_path))
        for _ in range(5):
            await ledger.settle(await ledger.reserve(request(), 1), "done", [attempt(2**62)])
        (row,) = await ledger.usage(UsageQuery(1000, *EVER))
        await ledger.close()
        assert (row.cost_nano, row.requests) == (5 * 2**62, 5)

    async def test_of_nothing(self, tmp_path: Path) -> None:
        """Without a request there is one empty sum, and no row where it is grouped; pending ones do not count."""
        ledger = await Ledger.open(settings(tmp_path))
        for _ in range(2):
            (row,) = await ledger.usage(UsageQuery(1000, *EVER))
            assert (row.keys, row.requests, row.cost_nano, row.cost_known) == ({}, 0, 0, True)
            assert await ledger.usage(UsageQuery(None, *EVER, ("day", "label"), "job")) == []
            assert await ledger.usage(UsageQuery(1000, TODAY, TODAY - timedelta(days=1), ("day",))) == []
            await ledger.reserve(request(), 5)
        await ledger.close()

    async def test_counts_a_request_at_each_provider_that_was_tried(self, tmp_path: Path) -> None:
        """A fallback counts once at both, with the cost of each one's attempts; without providers it counts once."""
        ledger = await Ledger.open(settings(tmp_path))
        made = [attempt(10, outcome="overloaded"), attempt(5, outcome="overloaded"), attempt(200, KIMI)]
        await ledger.settle(await ledger.reserve(request(), 999), "done", made)
        by_provider = await ledger.usage(UsageQuery(1000, *EVER, ("provider",)))
        (together,) = await ledger.usage(UsageQuery(1000, *EVER))
        await ledger.close()
        assert [(row.keys["provider"], row.requests, row.cost_nano) for row in by_provider] == [
            ("claude", 1, 15),
            ("kimi_k2", 1, 200),
        ]
        assert (together.requests, together.cost_nano) == (1, 215)

    @pytest.mark.parametrize(("zone", "hour"), [("UTC0", "2026-11-24T18"), ("IST-5:30", "2026-11-25T00")])
    async def test_hours_are_those_of_the_machine(
        self, tmp_path: Path, time_zone: Callable[[str], None], zone: str, hour: str
    ) -> None:
        """An hour begins where the machine's clock says so, also where that is half past for the rest of the world."""
        time_zone(zone)
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, started_at=datetime(2026, 11, 24, 18, 30, tzinfo=UTC))
        (row,) = await ledger.usage(UsageQuery(1000, *EVER, ("hour",)))
        await ledger.close()
        assert row.keys == {"hour": hour}

    async def test_tells_users_of_one_uid_apart(self, tmp_path: Path) -> None:
        """A uid that went to another user has a row for each name."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, 5, user="ann")
        await complete(ledger, 7, user="zoe")
        found = await ledger.usage(UsageQuery(None, *EVER, ("uid",)))
        await ledger.close()
        assert [(row.keys, row.cost_nano) for row in found] == [
            ({"uid": 1000, "user": "ann"}, 5),
            ({"uid": 1000, "user": "zoe"}, 7),
        ]

    async def test_shows_the_dearest_values_of_a_label(self, tmp_path: Path) -> None:
        """Of 130 values 100 have a row, the others are together; requests without the label are apart from them."""
        ledger = await Ledger.open(settings(tmp_path))
        for number in range(130):
            await complete(ledger, 1000 + number, labels={'odd."key': f"ü{number:03}", "other": "x"})
        await complete(ledger, 3)
        found = await ledger.usage(UsageQuery(1000, *EVER, ("label",), 'odd."key'))
        await ledger.close()
        costs = {row.keys["label"]: row.cost_nano for row in found}
        assert costs.pop("") == 3
        assert costs.pop("(other)") == sum(range(1000, 1030))
        assert costs == {f"ü{number:03}": 1000 + number for number in range(30, 130)}

    @pytest.mark.of_a_file
    async def test_that_is_too_large_says_how_to_narrow_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """More rows than allowed, or more time than allowed, is refused with what to do; less is then given."""
        ledger, _ = await live(tmp_path, random.Random(4), count=60)
        monkeypatch.setattr(usage, "MAX_ROWS", 20)
        with pytest.raises(TooLarge, match="narrow since and until"):
            await ledger.usage(UsageQuery(None, *EVER, ("hour",)))
        assert len(await ledger.usage(UsageQuery(None, *EVER, ("provider",)))) <= 20
        monkeypatch.setattr("cortexd.ledger.engines.sqlite.engine._INSTRUCTIONS", 10)
        monkeypatch.setattr(usage, "_DEADLINE_S", 0.0)
        with pytest.raises(TooLarge, match="takes longer than 0 s; narrow"):
            await ledger.usage(UsageQuery(None, *EVER))
        monkeypatch.undo()
        assert len(await ledger.usage(UsageQuery(None, *EVER))) == 1
        await ledger.close()

    @pytest.mark.of_a_file
    async def test_reads_one_users_rows_alone(self, tmp_path: Path) -> None:
        """SQLite finds a user's requests by day and user, and everybody's by day: neither reads the whole table."""
        ledger, _ = await live(tmp_path, random.Random(5), count=20)
        await ledger.close()
        plans = []
        with place_of(settings(tmp_path)).reading() as connection:
            for uid in (1000, None):
                chosen = usage._of_requests(connection, UsageQuery(uid, TODAY - timedelta(days=9), TODAY), [])
                sql = str(chosen.compile(connection, compile_kwargs={"literal_binds": True}))
                found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")
                plans.append(" ".join(row[3] for row in found))
        assert "requests_day_uid (day=? AND uid=?)" in plans[0]
        assert "requests_day_uid (day>? AND day<?)" in plans[1]


class TestStatistics:
    async def test_begin_anew_with_a_reset(self, tmp_path: Path) -> None:
        """Each request adds what it must, over several resets, and nothing of before comes back."""
        ledger = await Ledger.open(settings(tmp_path))
        for _ in range(3):
            for number in range(6):
                key = await ledger.reserve(request(), 5)
                made = [attempt(2**61, CLAUDE, outcome="overloaded")] * (number % 2) + [attempt(2**60, KIMI)]
                await ledger.settle(key, "done", made)
                found = await ledger.stats(1000)
                assert found.total_cost_nano == (number + 1) * 2**60 + (number + 1) // 2 * 2**61
            assert (found.providers["claude"].requests, found.providers["kimi_k2"].tokens) == (3, 6 * 120)
            await ledger.reset_stats(1000)
            assert await ledger.stats(1000) == Stats()
        assert (await ledger.stats(None)).total_requests == 18
        await ledger.close()


class TestOutcomes:
    async def test_are_kept_and_replaced(self, tmp_path: Path) -> None:
        """A second report about a request stands in place of the first."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, request_id="job", caller_chosen=True)
        await told(ledger, 1000, "job", 0.25, reason="wrong")
        await told(ledger, 1000, "job", 1.0, reason="right after all", labels={"suite": "a"})
        await ledger.close()
        (row,) = rows(settings(tmp_path).path, "SELECT score, reason, labels FROM outcomes")
        assert tuple(row) == (1.0, "right after all", '{"suite": "a"}')

    async def test_of_others_requests_are_refused(self, tmp_path: Path) -> None:
        """A request that is not the caller's does not exist for him; a score outside 0 to 1 is refused."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, uid=1001, request_id="job")
        with pytest.raises(RequestNotFound, match="You have no request job"):
            await told(ledger, 1000, "job", 1.0)
        with pytest.raises(InvalidArgument, match="from 0 to 1"):
            await told(ledger, 1001, "job", 1.5)
        await ledger.close()
        assert rows(settings(tmp_path).path, "SELECT * FROM outcomes") == []


class TestChoices:
    async def test_preferences_are_each_users_own_and_survive(self, tmp_path: Path) -> None:
        """What one user wishes stays until he wishes otherwise, over a restart; nothing wished leaves no row."""
        ledger = await Ledger.open(settings(tmp_path))
        wishes = {"providers": {"user_chat": "claude"}, "local_only": False}
        await ledger.set_preferences(1000, {"strategy": "cheapest"})
        await ledger.set_preferences(1000, wishes)
        await ledger.close()
        ledger = await Ledger.open(settings(tmp_path))
        assert (await ledger.preferences(1000), await ledger.preferences(1001)) == (wishes, {})
        await ledger.set_preferences(1000, {})
        assert await ledger.preferences(1000) == {}
        await ledger.close()
        assert rows(settings(tmp_path).path, "SELECT * FROM preferences") == []

    async def test_preferences_have_a_bound(self, tmp_path: Path) -> None:
        """Past 64 KiB they are refused and the earlier ones stay."""
        ledger = await Ledger.open(settings(tmp_path))
        await ledger.set_preferences(1000, {"a": "b"})
        with pytest.raises(TooLarge, match="at most 65536"):
            await ledger.set_preferences(1000, {"a": "b" * 65_536})
        with pytest.raises(InvalidArgument, match="JSON"):
            await ledger.set_preferences(1000, {"a": object()})
        assert await ledger.preferences(1000) == {"a": "b"}
        await ledger.close()

    @pytest.mark.of_a_file
    async def test_budgets_survive_until_they_are_removed(self, tmp_path: Path) -> None:
        """Limits set while the daemon runs are there after a restart, with who set them."""
        ledger = await Ledger.open(settings(tmp_path))
        await ledger.set_budget("user", "ann", LimitOverride(5, None), 0)
        await ledger.set_budget("user", "ann", LimitOverride(None, 2**62), 1000)
        await ledger.set_budget("machine", "", LimitOverride(0, 0), 0)
        with pytest.raises(InvalidArgument, match="outside"):
            await ledger.set_budget("machine", "", LimitOverride(2**63, None), 0)
        await ledger.close()
        ledger = await Ledger.open(settings(tmp_path))
        kept = {("user", "ann"): LimitOverride(None, 2**62), ("machine", ""): LimitOverride(0, 0)}
        assert await ledger.budget_overrides() == kept
        await ledger.set_budget("machine", "", None, 0)
        await ledger.set_budget("group", "none", None, 0)
        assert list(await ledger.budget_overrides()) == [("user", "ann")]
        await ledger.close()
        with closing(sqlite3.connect(settings(tmp_path).path)) as connection:
            assert connection.execute("SELECT by_uid FROM budget_overrides").fetchall() == [(1000,)]
