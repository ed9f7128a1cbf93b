"""What the daemon does by the clock, on a real ledger with a clock of the test's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from cortexd.config.settings import LedgerSettings
from cortexd.daemon.housekeeping import Housekeeping
from cortexd.ledger import Ledger, NewRequest, Period
from tests.eventually import assert_eventually_async

TODAY = datetime.now().astimezone().date()


class Clock:
    def __init__(self, today: date) -> None:
        self.today = today
        self.told: list[Period] = []


@pytest.fixture
async def clock(ledger: Ledger) -> AsyncIterator[Clock]:
    """A housekeeping that looks at this clock every millisecond."""
    clock = Clock(TODAY.replace(day=1) - timedelta(days=1))
    housekeeping = Housekeeping(
        ledger, lambda: LedgerSettings(keep_days=100), clock.told.append, lambda: clock.today, look_s=0.001
    )
    running = asyncio.create_task(housekeeping.run())
    yield clock
    running.cancel()
    await asyncio.wait({running})


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A factory: puts the machine elsewhere for this test."""
    yield lambda name: monkeypatch.setenv("TZ", name)
    monkeypatch.undo()
    time.tzset()


class TestPeriods:
    async def test_another_time_zone_counts_without_a_restart(
        self, ledger: Ledger, zone: Callable[[str], None]
    ) -> None:
        """Where the machine moves across the date line, a new day has begun."""
        zone("Etc/GMT+12")
        time.tzset()
        told: list[Period] = []
        housekeeping = Housekeeping(ledger, LedgerSettings, told.append, look_s=0.001)
        running = asyncio.create_task(housekeeping.run())
        await asyncio.sleep(0.02)
        assert told == []
        zone("Pacific/Kiritimati")  # 26 hours ahead
        await assert_eventually_async(lambda: told[:1] == [Period.DAY])
        running.cancel()
        await asyncio.wait({running})

    async def test_a_new_day_is_told_once(self, clock: Clock) -> None:
        """A day of the same month, however long the clock is looked at."""
        clock.today = TODAY.replace(day=1)
        await assert_eventually_async(lambda: len(clock.told) == 2)
        clock.today = TODAY.replace(day=20)  # the machine was off for a while
        await assert_eventually_async(lambda: len(clock.told) == 3)
        clock.today = TODAY.replace(day=10)  # a clock that was set back tells nothing
        await asyncio.sleep(0.02)
        assert clock.told == [Period.DAY, Period.MONTH, Period.DAY]
        clock.today = TODAY.replace(day=11)
        await assert_eventually_async(lambda: len(clock.told) == 4)

    async def test_a_new_month_is_a_new_day_too(self, clock: Clock) -> None:
        """Both are told, the day first; the next day of that month is only a day."""
        clock.today = TODAY.replace(day=1)
        await assert_eventually_async(lambda: clock.told == [Period.DAY, Period.MONTH])
        clock.today = TODAY.replace(day=2)
        await assert_eventually_async(lambda: clock.told == [Period.DAY, Period.MONTH, Period.DAY])


class TestRetention:
    async def test_old_requests_become_daily_sums(self, ledger: Ledger, clock: Clock) -> None:
        """What is older than keep_days is no longer found by its id, and still in the totals."""
        for request_id, age in (("old", 400), ("new", 1)):
            began = datetime.now(UTC) - timedelta(days=age)
            key = await ledger.reserve(NewRequest(1000, "alice", request_id, True, b"h", "user_chat", began), 10)
            await ledger.settle(key, "done", ())
        clock.today = TODAY
        async with asyncio.timeout(10):
            while await ledger.find(1000, "old") is not None:
                await asyncio.sleep(0.01)
        assert await ledger.find(1000, "new") is not None
        assert ledger.totals.total_requests == 2
