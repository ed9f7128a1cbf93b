"""An endpoint that comes back, and one that cannot be reached: who tests it, and who tries again."""

from __future__ import annotations

import asyncio
import time

import pytest

from cortexd.errors import NoProviderAvailable, ProviderFailed
from cortexd.routing import State
from simulated import Behaviour, SimulatedProviders
from tests.eventually import assert_eventually_async
from tests.system.books import read_books
from tests.unit.failing import OTHER, adopt, assert_balanced, each_kind, warm_up
from tests.unit.test_execution import Bench, bench_fixture, upstream_fixture  # noqa: F401

NOWHERE = "http://127.0.0.1:1"


class TestTest:
    @each_kind
    async def test_one_request_at_a_time(self, bench: Bench, first: str) -> None:
        """After the pause one of twenty goes to the provider and the others on; then it is as it was."""
        await warm_up(bench)
        await adopt(bench, first)
        passed = 0.0
        bench.health._clock = lambda: time.monotonic() + passed
        bench.simulated.behave(first, Behaviour(status=401, times=1), Behaviour(delay_s=1.0))
        assert (await bench.ask()).provider == OTHER[first]
        passed = 61.0
        completions = await asyncio.gather(*(bench.ask() for _ in range(20)))
        assert [item.provider for item in completions].count(first) == 1
        assert bench.simulated.counts(first).requests == 2
        assert bench.health.state(first) is State.OK
        bench.simulated.behave(first, Behaviour())
        completions = await asyncio.gather(*(bench.ask() for _ in range(20)))
        assert {item.provider for item in completions} == {first}
        await assert_balanced(bench)

    async def test_who_has_nobody_else_does_not_wait(self, bench: Bench) -> None:
        """An endpoint that another request tests is asked all the same where it is the only one."""
        await warm_up(bench)
        passed = 0.0
        bench.health._clock = lambda: time.monotonic() + passed
        bench.simulated.behave("claude", Behaviour(status=401, times=1), Behaviour(delay_s=0.5))
        with pytest.raises(ProviderFailed):
            await bench.ask(fallback=False)
        passed = 61.0
        completions = await asyncio.gather(*(bench.ask(provider="claude") for _ in range(5)))
        assert {item.provider for item in completions} == {"claude"}
        await assert_balanced(bench)

    async def test_a_cancelled_test_is_none(self, bench: Bench) -> None:
        """The next request tests."""
        await warm_up(bench)
        passed = 0.0
        bench.health._clock = lambda: time.monotonic() + passed
        bench.simulated.behave("claude", Behaviour(status=401, times=1), Behaviour(delay_s=30.0, times=1))
        await bench.ask()
        passed = 61.0
        asking = bench.ask(request_id="test")
        await assert_eventually_async(lambda: bench.simulated.counts("claude").active == 1)
        bench.cancel("test")
        await asyncio.wait({asking})
        assert (await bench.ask()).provider == "claude"
        await assert_balanced(bench)


class TestNeverSent:
    @each_kind
    async def test_it_goes_once_more_when_nobody_answers(self, bench: Bench, first: str) -> None:
        """Each try is in the metadata and costs nothing; an endpoint that is back by then answers."""
        await warm_up(bench)
        back = SimulatedProviders()
        back.start()
        port = int(back.base.rpartition(":")[2])
        back.stop()
        back = SimulatedProviders(port=port)
        await adopt(bench, first, {first: {"base_url": back.url(first)}})
        bench.simulated.behave(OTHER[first], Behaviour(status=500, delay_s=1.0))
        asking = bench.ask()
        await assert_eventually_async(lambda: bench.simulated.counts(OTHER[first]).active == 1)
        async with back:
            completion = await asking
        attempts = [(item.provider, item.outcome, item.cost_nano > 0) for item in completion.attempts]
        assert attempts == [(first, "connection", False), (OTHER[first], "server_error", False), (first, "ok", True)]
        await bench.nothing_is_left()
        read_books(bench.path).assert_balanced()

    async def test_not_where_somebody_answers(self, bench: Bench) -> None:
        """The next one is quicker than a second try."""
        await warm_up(bench)
        await adopt(bench, "claude", {"claude": {"base_url": NOWHERE}})
        completion = await bench.ask()
        assert [item.outcome for item in completion.attempts] == ["connection", "ok"]
        await assert_balanced(bench)

    async def test_seldom_in_an_outage(self, bench: Bench) -> None:
        """Of fifty requests at once that reach nobody only some try again."""
        await warm_up(bench)
        await adopt(bench, "claude", {"claude": {"base_url": NOWHERE}, "kimi_k2": {"base_url": f"{NOWHERE}/v1"}})
        errors = await asyncio.gather(*(bench.ask() for _ in range(50)), return_exceptions=True)
        tried = [str(error.details["tried"]).count(":") for error in errors if isinstance(error, NoProviderAvailable)]
        assert len(tried) == 50
        assert 3 <= sum(number - 2 for number in tried) <= 20
        assert max(tried) == 3
        await bench.nothing_is_left()
        read_books(bench.path).assert_balanced()
        assert not any(event.settled.cost_nano for event in bench.events)
