"""When the daemon leaves for want of callers."""

from __future__ import annotations

import asyncio

import pytest

from cortexd.daemon.idle import Idleness

_LONG_S = 60.0


async def lasts(idleness: Idleness, seconds: float) -> bool:
    """Whether it goes on for that long without its end being told."""
    try:
        async with asyncio.timeout(seconds):
            await idleness.wait()
    except TimeoutError:
        return True
    return False


class TestIdleness:
    async def test_ends_after_the_time_without_anything(self) -> None:
        """Nobody busy, nothing touched: it returns, and says after how long."""
        async with asyncio.timeout(_LONG_S):
            assert await Idleness(lambda: 0.3, lambda: False).wait() == 0.3

    @pytest.mark.parametrize(("setting", "busy"), [(0.0, False), (0.3, True)], ids=["never", "busy"])
    async def test_does_not_end(self, setting: float, busy: bool) -> None:
        """Neither with 0, nor while somebody waits or watches."""
        assert await lasts(Idleness(lambda: setting, lambda: busy), 1.0)

    async def test_never_means_at_rest(self) -> None:
        """A daemon that always runs is not woken to look whether it should leave."""
        looks = 0

        def busy() -> bool:
            nonlocal looks
            looks += 1
            return False

        assert await lasts(Idleness(lambda: 0.0, busy), 0.5)
        assert looks == 1

    async def test_a_call_begins_the_time_again(self) -> None:
        """Each touch puts the end off by the whole time."""
        idleness = Idleness(lambda: 0.6, lambda: False)
        touching = asyncio.create_task(touch_until_cancelled(idleness))
        assert await lasts(idleness, 1.5)
        touching.cancel()
        assert not await lasts(idleness, _LONG_S)

    async def test_what_lasts_begins_it_again_when_it_ends(self) -> None:
        """The end of a long request counts as a sign of life."""
        busy = True
        idleness = Idleness(lambda: 0.4, lambda: busy)
        assert await lasts(idleness, 0.8)
        busy = False
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(_LONG_S):
            await idleness.wait()
        assert loop.time() - began > 0.2

    async def test_shortest_time(self) -> None:
        """However little is set, starts stay fewer than the unit allows."""
        async with asyncio.timeout(_LONG_S):
            assert await Idleness(lambda: 0.001, lambda: False).wait() == 0.25


async def touch_until_cancelled(idleness: Idleness) -> None:
    while True:
        idleness.touch()
        await asyncio.sleep(0.05)
