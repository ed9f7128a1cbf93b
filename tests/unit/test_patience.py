"""A time limit for many short waits, and the timer that all on a loop share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Thread
from typing import Any

import pytest

from cortexd.providers.patience import Patience

SHORT_S, LONG_S, NEVER_S = 0.05, 0.5, 600.0


@asynccontextmanager
async def ends_within(seconds: float) -> AsyncIterator[None]:
    start = asyncio.get_running_loop().time()
    yield
    assert asyncio.get_running_loop().time() - start < seconds


async def waits(limit_s: float, seconds: float, *, gives_up: bool = False) -> bool:
    """Whether the wait was too long."""
    try:
        async with Patience(limit_s) as patience:
            if gives_up:
                patience.give_up()
            await asyncio.sleep(seconds)
    except TimeoutError:
        return True
    return False


class TestOne:
    async def test_a_wait_that_is_too_long(self) -> None:
        async with ends_within(10):
            assert await waits(SHORT_S, NEVER_S)

    async def test_one_that_ends_in_time(self) -> None:
        assert not await waits(NEVER_S, SHORT_S)

    async def test_many_short_waits_are_none_that_is_long(self) -> None:
        async with Patience(LONG_S) as patience:
            for _ in range(8):
                await asyncio.sleep(LONG_S / 4)
                patience.begin()

    async def test_a_rest_may_take_long(self) -> None:
        async with Patience(SHORT_S) as patience:
            patience.rest()
            await asyncio.sleep(SHORT_S * 4)

    async def test_who_is_cancelled_by_another_is_cancelled(self) -> None:
        waiting = asyncio.create_task(waits(NEVER_S, NEVER_S))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async def test_giving_up_ends_it_at_once(self) -> None:
        async with ends_within(10):
            assert await waits(NEVER_S, NEVER_S, gives_up=True)


class TestTogether:
    async def test_each_has_its_own_limit(self) -> None:
        """Whoever came first, and whoever has left meanwhile."""
        limits = [NEVER_S, SHORT_S, LONG_S, SHORT_S * 2, NEVER_S]
        async with ends_within(10):
            late = await asyncio.gather(*(waits(limit, 2 * LONG_S) for limit in limits))
        assert late == [limit < LONG_S * 2 for limit in limits]

    async def test_the_next_one_is_seen_after_the_first_has_left(self) -> None:
        assert not await waits(LONG_S, 0)
        async with ends_within(10):
            assert await waits(LONG_S, NEVER_S)

    async def test_they_share_a_timer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop, set_at = asyncio.get_running_loop(), list[float]()
        real = loop.call_at

        def call_at(when: float, *given: Any, **named: Any) -> asyncio.TimerHandle:
            set_at.append(when)
            return real(when, *given, **named)

        monkeypatch.setattr(loop, "call_at", call_at)
        for _ in range(100):
            async with Patience(NEVER_S):
                pass
        assert len(set_at) == 1

    def test_loops_that_take_turns(self) -> None:
        """Those of programs' threads: each wait ends on its own loop."""
        late: list[bool] = []

        def live() -> None:
            late.append(asyncio.run(_many()))

        async def _many() -> bool:
            return all(await asyncio.gather(*(waits(SHORT_S * (1 + number % 3), NEVER_S) for number in range(20))))

        threads = [Thread(target=live) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert late == [True] * 3
