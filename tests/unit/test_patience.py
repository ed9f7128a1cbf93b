"""A time limit for many short waits, and the timer that all on a loop share. The clock stands until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from threading import Thread
from typing import Any

import pytest
import pytest_asyncio

from cortexd.providers.patience import Patience

TURNS = 10  # of the loop: so many are enough for a timer, a cancellation and whoever waits for that


class Clock:
    """The running loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._now = loop.time()
        self.timers: list[float] = []
        """When each rings that was set."""
        self._call_at = loop.call_at
        vars(loop).update(time=lambda: self._now, call_at=self._noted)

    def _noted(self, when: float, callback: Callable[..., Any], *given: Any, **named: Any) -> asyncio.TimerHandle:
        self.timers.append(when)
        return self._call_at(when, callback, *given, **named)

    async def moves(self, seconds: float) -> None:
        self._now += seconds
        for _ in range(TURNS):
            await asyncio.sleep(0)


@pytest_asyncio.fixture(name="clock")
async def clock_fixture() -> AsyncIterator[Clock]:
    loop = asyncio.get_running_loop()
    yield Clock(loop)
    for name in ("time", "call_at"):
        del vars(loop)[name]


async def waits(limit_s: float, ends: asyncio.Event) -> bool:
    """Whether the wait for `ends` was too long."""
    try:
        async with Patience(limit_s):
            await ends.wait()
    except TimeoutError:
        return True
    return False


def begun(limit_s: float, ends: asyncio.Event | None = None) -> asyncio.Task[bool]:
    return asyncio.create_task(waits(limit_s, ends or asyncio.Event()))


class TestOne:
    async def test_a_wait_that_is_too_long(self, clock: Clock) -> None:
        waiting = begun(10)
        await clock.moves(0)
        await clock.moves(9.9)
        assert not waiting.done()
        await clock.moves(0.2)
        assert waiting.done()
        assert await waiting

    async def test_one_that_ends_in_time(self, clock: Clock) -> None:
        ends = asyncio.Event()
        waiting = begun(10, ends)
        await clock.moves(9)
        ends.set()
        await clock.moves(5)
        assert not await waiting

    async def test_nothing_is_left_of_it(self, clock: Clock) -> None:
        """Who has come out in time may wait on."""
        async with Patience(10):
            await clock.moves(1)
        await clock.moves(20)

    async def test_many_short_waits_are_none_that_is_long(self, clock: Clock) -> None:
        async with Patience(10) as patience:
            for _ in range(8):
                await clock.moves(6)
                patience.begin()

    async def test_the_last_of_them_is_too_long(self, clock: Clock) -> None:
        with pytest.raises(TimeoutError):
            await self._waits(clock, 6, 6, 11)

    async def _waits(self, clock: Clock, *seconds: float) -> None:
        async with Patience(10) as patience:
            for each in seconds:
                patience.begin()
                await clock.moves(each)

    async def test_a_rest_may_take_long(self, clock: Clock) -> None:
        async with Patience(10) as patience:
            patience.rest()
            await clock.moves(100)
            patience.begin()
            await clock.moves(9)

    async def test_who_is_cancelled_by_another_is_cancelled(self, clock: Clock) -> None:
        waiting = begun(10)
        await clock.moves(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async def test_giving_up_ends_it_at_once(self, clock: Clock) -> None:
        with pytest.raises(TimeoutError):
            await self._gives_up(clock)

    async def _gives_up(self, clock: Clock) -> None:
        async with Patience(10) as patience:
            patience.give_up()
            await clock.moves(0)

    async def test_one_within_another(self, clock: Clock) -> None:
        """Both have expired by then: each is told, the inner one first."""
        told: list[str] = []

        async def wait() -> None:
            try:
                async with Patience(20):
                    try:
                        async with Patience(10):
                            await asyncio.Event().wait()
                    except TimeoutError:
                        told.append("inner")
                        await asyncio.Event().wait()
            except TimeoutError:
                told.append("outer")

        waiting = asyncio.create_task(wait())
        await clock.moves(0)
        await clock.moves(11)
        assert told == ["inner"]
        await clock.moves(11)
        assert told == ["inner", "outer"]
        assert waiting.done()


class TestTogether:
    async def test_each_has_its_own_limit(self, clock: Clock) -> None:
        """Whoever came first, and whoever has left meanwhile."""
        limits = (60, 5, 30, 7, 60, 5)
        waiting = [begun(limit) for limit in limits]
        await clock.moves(0)
        waiting[4].cancel()
        for now in range(5, 65, 5):
            await clock.moves(5)
            over = [limit <= now or task is waiting[4] for limit, task in zip(limits, waiting, strict=True)]
            assert [task.done() for task in waiting] == over

    async def test_the_next_one_is_seen_after_the_first_has_left(self, clock: Clock) -> None:
        ends = asyncio.Event()
        first = begun(10, ends)
        await clock.moves(4)
        ends.set()
        assert not await first
        second = begun(10)
        await clock.moves(0)
        await clock.moves(7)  # the timer of the first rings
        assert not second.done()
        await clock.moves(4)
        assert await second

    async def test_they_share_a_timer(self, clock: Clock) -> None:
        for _ in range(100):
            async with Patience(10):
                await clock.moves(0.01)
        assert len(clock.timers) == 1

    def test_loops_of_several_threads(self) -> None:
        """Each wait ends on its own loop."""
        late: list[bool] = []

        async def many() -> bool:
            return all(await asyncio.gather(*(waits(0.01 * (1 + number % 3), asyncio.Event()) for number in range(20))))

        threads = [Thread(target=lambda: late.append(asyncio.run(many()))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert late == [True] * 3
