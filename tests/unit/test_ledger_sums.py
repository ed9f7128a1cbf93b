"""The ledger's sums: exact, by the machine's days, and readable again from its entries."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortexd.ledger import Ledger
from tests.unit.test_ledger_parts import CLAUDE, KIMI, attempt, audited, complete, request, rows, settings

pytestmark = pytest.mark.usefixtures("engine")


class TestExactness:
    async def test_amounts_up_to_2_to_the_62_add_up_to_the_nano(self, tmp_path: Path) -> None:
        """Totals, days, months, statistics and the audit equal the sum of what was booked, far past 64 bits."""
        chance = random.Random(11)
        costs = [chance.randrange(2 ** chance.randrange(1, 62)) for _ in range(60)] + [2**62] * 5
        ledger = await Ledger.open(settings(tmp_path))
        today = datetime.now(UTC)
        for cost in costs:
            key = await ledger.reserve(request(started_at=today), 2**62)
            settled = await ledger.settle(key, "done", [attempt(cost)])
        total = sum(costs)
        assert total > 2**64
        assert (settled.user_day_nano, settled.user_month_nano, settled.totals.total_cost_nano) == (total,) * 3
        stats = await ledger.stats(1000)
        assert (stats.total_cost_nano, stats.providers["claude"].cost_nano) == (total, total)
        await ledger.close()
        ledger = await Ledger.open(settings(tmp_path))
        assert ledger.totals.total_cost_nano == total
        settled = await ledger.settle(await ledger.reserve(request(started_at=today), 1), "done", [attempt(1)])
        assert settled.user_day_nano == total + 1
        await ledger.close()
        found = audited(settings(tmp_path).path)
        assert (found.charged_nano, found.reserved_nano, found.wrong_rows) == (total + 1, 0, 0)

    async def test_a_provider_that_lies_fills_one_row_at_most(self, tmp_path: Path) -> None:
        """Costs past what a row can hold are booked up to that, and row and entries still agree."""
        ledger = await Ledger.open(settings(tmp_path))
        key = await ledger.reserve(request(), 5)
        settled = await ledger.settle(key, "done", [attempt(2**62), attempt(2**80), attempt(-4)])
        await ledger.close()
        assert settled.cost_nano == 2**63 - 1
        found = audited(settings(tmp_path).path)
        assert (found.charged_nano, found.wrong_rows) == (2**63 - 1, 0)


class TestDays:
    @pytest.mark.parametrize(
        ("zone", "day"), [("JST-9", "2026-12-01"), ("UTC0", "2026-11-30"), ("EST5EDT,M3.2.0,M11.1.0", "2026-11-30")]
    )
    async def test_are_those_of_the_machine(
        self, tmp_path: Path, time_zone: Callable[[str], None], zone: str, day: str
    ) -> None:
        """A request just before midnight UTC counts to the day and month that the machine's clock shows."""
        time_zone(zone)
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, started_at=datetime(2026, 11, 30, 23, 30, tzinfo=UTC))
        await ledger.close()
        path = settings(tmp_path).path
        for table in ("requests", "entries"):
            assert {tuple(row) for row in rows(path, f"SELECT day, month FROM {table}")} == {(day, day[:7])}

    async def test_begin_again_at_midnight(self, tmp_path: Path, time_zone: Callable[[str], None]) -> None:
        """The day's sum starts anew with the day, the month's goes on; an old day's request counts to the old day."""
        time_zone("JST-9")
        ledger = await Ledger.open(settings(tmp_path))
        before, after = datetime(2026, 11, 23, 14, 59, tzinfo=UTC), datetime(2026, 11, 23, 15, 1, tzinfo=UTC)
        sums = []
        late = await ledger.reserve(request(started_at=before), 500)
        for started, cost in ((before, 100), (after, 20), (after, 3)):
            settled = await ledger.settle(
                await ledger.reserve(request(started_at=started), 200), "done", [attempt(cost)]
            )
            sums.append((settled.user_day_nano, settled.user_month_nano))
        settled = await ledger.settle(late, "done", [attempt(400)])
        sums.append((settled.user_day_nano, settled.user_month_nano))
        await ledger.close()
        assert sums == [(100, 100), (20, 120), (23, 123), (500, 523)]

    async def test_are_each_users_own(self, tmp_path: Path) -> None:
        """What one user spends does not show in another's day."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, 700, uid=1000)
        settled = await ledger.settle(await ledger.reserve(request(1001), 9), "done", [attempt(5)])
        await ledger.close()
        assert (settled.user_day_nano, settled.totals.total_cost_nano) == (5, 705)


class TestReplay:
    async def test_entries_show_reserved_and_spent_at_every_instant(self, tmp_path: Path) -> None:
        """Read back in order, entries never charge what was not reserved before, and end at the rows' costs."""
        ledger = await Ledger.open(settings(tmp_path))
        chance = random.Random(7)

        async def live(uid: int) -> None:
            key = await ledger.reserve(request(uid), 1_000)
            made = [attempt(chance.randrange(1_000), CLAUDE, outcome="server_error")]
            for _ in range(chance.randrange(3)):
                await ledger.reserve_more(key, 2_000)
                made.append(attempt(chance.randrange(2_000), KIMI))
            await ledger.settle(key, "done", made)

        await asyncio.gather(*(live(1000 + number % 3) for number in range(120)))
        await ledger.close()
        path = settings(tmp_path).path
        reserved, allowed, spent = Counter[int](), Counter[int](), Counter[int]()
        for entry in rows(path, "SELECT request, kind, nano FROM entries ORDER BY seq"):
            key, nano = entry["request"], entry["nano"]
            match entry["kind"]:
                case "reserve":
                    assert key not in spent, "reserved after it was charged"
                    reserved[key] += nano
                    allowed[key] += nano
                case "release":
                    assert nano == reserved.pop(key)
                case "charge":
                    spent[key] += nano
                    assert spent[key] <= allowed[key], "more was spent than was reserved before"
        assert not reserved
        costs = {row["id"]: row["cost_nano"] for row in rows(path, "SELECT id, cost_nano FROM requests")}
        assert {key: cost for key, cost in costs.items() if cost} == dict(spent)
