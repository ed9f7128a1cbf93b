"""A second model asked beside a slow one: when, how seldom, whose answer counts, and what both cost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cortexd.config.settings import BudgetSettings, LimitUsd
from cortexd.domain.racing import quicker
from cortexd.errors import Cancelled, NoProviderAvailable, Timeout, tried_of
from cortexd.routing.hedging import Hedging
from simulated import Behaviour
from tests.eventually import assert_eventually_async
from tests.system.books import read_books
from tests.unit.failing import OTHER, adopt, assert_balanced, each_kind, stream, warm_up
from tests.unit.test_execution import Bench, bench_fixture, upstream_fixture  # noqa: F401

NEVER = Behaviour(delay_s=20.0)
QUICK_S = 0.4  # sooner than any answer here that is slow on purpose


async def known(bench: Bench, first: str, **routing: Any) -> None:
    """It is known how quick `first` is, and one call in hand may be hedged."""
    for name in OTHER:
        bench.simulated.reset(name)
    await warm_up(bench)
    await adopt(bench, first, **{"hedge": True, **routing})
    for _ in range(10):
        if await found_quick(bench, first):
            break
    else:
        pytest.fail("this machine is too busy for a provider to be quick")
    for name in OTHER:
        bench.simulated.reset(name)


async def found_quick(bench: Bench, first: str) -> bool:
    """Whether twenty answers came as quickly as they do where the machine has time."""
    hedging = bench.health.hedging = Hedging()
    for _ in range(20):
        completion = await bench.ask(hedge=True)
        assert completion.provider == first
    after_s = hedging.after_s(first, completion.model)
    return after_s is not None and after_s < QUICK_S


def attempts_of(completion: Any) -> list[tuple[str, str]]:
    return [(item.provider, item.outcome) for item in completion.attempts]


class TestHedge:
    @each_kind
    async def test_the_other_answers(self, bench: Bench, first: str) -> None:
        """The slow one is left and booked as what was cut off; both are in the metadata, whose reason says so."""
        await known(bench, first)
        bench.simulated.behave(first, NEVER)
        completion = await bench.ask()
        assert attempts_of(completion) == [(first, "cancelled"), (OTHER[first], "ok")]
        assert completion.provider == OTHER[first]
        assert completion.route_reason.startswith(f"asked as well: {first} took longer than")
        left, answered = completion.attempts
        assert (left.cost_known, answered.cost_known) == (False, True)
        await assert_eventually_async(lambda: bench.simulated.counts(first).client_aborts == 1)
        assert left.cost_nano >= bench.simulated.billed_undelivered(first).nano > 0
        assert completion.cost_nano == left.cost_nano + answered.cost_nano
        await assert_balanced(bench)

    @each_kind
    async def test_the_slow_one_may_answer_after_all(self, bench: Bench, first: str) -> None:
        """Then the other is left; the attempt that answered comes last."""
        await known(bench, first)
        bench.simulated.behave(first, Behaviour(delay_s=1.0))
        bench.simulated.behave(OTHER[first], NEVER)
        completion = await bench.ask()
        assert attempts_of(completion) == [(OTHER[first], "cancelled"), (first, "ok")]
        assert (completion.provider, bench.events[-1].provider) == (first, first)
        assert f"{OTHER[first]} was asked as well" in completion.route_reason
        await assert_balanced(bench)

    @each_kind
    async def test_a_failure_leaves_the_other(self, bench: Bench, first: str) -> None:
        """Either may fail, and nobody is asked twice; where both do, it is told of both."""
        failing = Behaviour(status=500, delay_s=1.0)
        for slow, other, outcome in (
            (failing, Behaviour(delay_s=2.0), [(first, "server_error"), (OTHER[first], "ok")]),
            (Behaviour(delay_s=1.0), Behaviour(status=500), [(OTHER[first], "server_error"), (first, "ok")]),
        ):
            bench.health.forget()
            await known(bench, first)
            bench.simulated.behave(first, slow)
            bench.simulated.behave(OTHER[first], other)
            assert attempts_of(await bench.ask()) == outcome
        await known(bench, first)
        bench.simulated.behave(first, failing)
        bench.simulated.behave(OTHER[first], Behaviour(status=500))
        with pytest.raises(NoProviderAvailable) as caught:
            await bench.ask()
        assert tried_of(caught.value) == {first: "server_error", OTHER[first]: "server_error"}
        assert [bench.simulated.counts(name).requests for name in OTHER] == [1, 1]
        await assert_balanced(bench)

    @each_kind
    async def test_both_end_with_the_request(self, bench: Bench, first: str) -> None:
        """A cancelled one, and one whose time is over, leave neither running, nor unpaid."""
        for error, outcome, options in ((Cancelled, "cancelled", {}), (Timeout, "timeout", {"deadline_ms": 1000})):
            await known(bench, first)
            for name in OTHER:
                bench.simulated.behave(name, NEVER)
            asking = bench.ask(request_id=f"both-{outcome}", **options)
            await assert_eventually_async(lambda: all(bench.simulated.counts(name).active for name in OTHER))
            if error is Cancelled:
                bench.cancel(f"both-{outcome}")
            with pytest.raises(error):
                await asking
            await assert_eventually_async(lambda: not any(bench.simulated.counts(name).active for name in OTHER))
            assert [(item.provider, item.outcome) for item in bench.events[-1].attempts] == [
                (first, outcome),
                (OTHER[first], outcome),
            ]
        await assert_balanced(bench)


class TestNoHedge:
    async def alone(self, bench: Bench, **options: Any) -> None:
        """The slow answer is waited for, and nobody else is asked."""
        bench.simulated.behave("claude", Behaviour(delay_s=0.6))
        completion = await bench.ask(**options)
        assert attempts_of(completion) == [("claude", "ok")]
        assert bench.simulated.counts("kimi_k2").requests == 0
        await assert_balanced(bench)

    async def test_where_it_is_not_wanted(self, bench: Bench) -> None:
        """It is off where nobody says otherwise, and a call may do without it, or have nobody else."""
        await known(bench, "claude")
        await self.alone(bench, hedge=False)
        await self.alone(bench, fallback=False)
        await adopt(bench, "claude")
        await self.alone(bench)

    async def test_where_nobody_knows_how_quick_it_is(self, bench: Bench) -> None:
        """Fewer than twenty answers say nothing of the slowest of twenty."""
        await warm_up(bench)
        await adopt(bench, "claude", hedge=True)
        for _ in range(18):
            await bench.ask()
        await self.alone(bench)

    async def test_of_a_stream(self, bench: Bench) -> None:
        """Its reader sees it grow."""
        await known(bench, "claude")
        bench.simulated.behave("claude", Behaviour(delay_s=0.6))
        assert (await stream(bench, hedge=True))[-1]["metadata"]["provider"] == "claude"
        assert bench.simulated.counts("kimi_k2").requests == 0
        await assert_balanced(bench)

    async def test_where_there_is_no_money_for_both(self, bench: Bench) -> None:
        """The caller's own limit, and a budget."""
        await known(bench, "claude")
        await self.alone(bench, max_tokens=100, max_cost_usd=0.0012)
        room = (read_books(bench.path).charged_nano + 1_200_000) / 1e9
        bench.service.accounts.adopt(BudgetSettings(each_user=LimitUsd(day_usd=str(room))))
        for _ in range(20):
            bench.health.hedging.called()
        await self.alone(bench, max_tokens=100)

    async def test_beside_one_that_fails_of_late(self, bench: Bench) -> None:
        """Who is no better off is no help."""
        await known(bench, "claude")
        bench.simulated.behave("kimi_k2", Behaviour(status=500, times=1))
        await bench.ask(provider="kimi_k2", fallback=True)
        bench.simulated.reset("kimi_k2")
        await self.alone(bench)


class TestSeldom:
    def test_one_call_in_twenty(self) -> None:
        """However many are slow; what was not used is kept for a hundred calls."""
        hedging = Hedging()
        hedged = 0
        for _ in range(1000):
            hedging.called()
            hedged += hedging.allows()
        assert hedged == 50
        for _ in range(1000):
            hedging.called()
        assert sum(hedging.allows() for _ in range(100)) == 5

    def test_the_slowest_of_twenty(self) -> None:
        """Of the latest hundred answers, within an hour, of each model."""
        now = 0.0
        hedging = Hedging(lambda: now)
        for took in range(1, 21):
            assert hedging.after_s("claude", "sonnet") is None
            hedging.answered("claude", "sonnet", float(took))
        assert hedging.after_s("claude", "sonnet") == 19
        assert hedging.after_s("claude", "haiku") is None
        for took in range(100):
            hedging.answered("claude", "sonnet", float(took))
        assert hedging.after_s("claude", "sonnet") == 94
        hedging.forget()
        assert hedging.after_s("claude", "sonnet") is None
        for took in range(100):
            hedging.answered("claude", "sonnet", float(took))
        now = 3601.0
        assert hedging.after_s("claude", "sonnet") is None
        for number in range(1000):
            hedging.answered("claude", f"model {number}", 1.0)
        assert len(hedging._took) == 256


class TestQuicker:
    async def test_nothing_is_left_running(self) -> None:
        """However it ends: with an answer, an error of one, or a cancellation in the middle of the clearing up."""
        ended: list[str] = []

        async def work(name: str, gives: str | Exception | None, waits: asyncio.Event | None = None) -> str | None:
            try:
                if waits is not None:
                    await waits.wait()
                if isinstance(gives, Exception):
                    raise gives
                return gives
            finally:
                await asyncio.sleep(0)
                ended.append(name)

        async def other(gives: str | Exception | None) -> Any:
            return work("second", gives)

        async def nobody() -> None:
            return None

        never = asyncio.Event()
        assert await quicker(work("first", None, never), 0.0, lambda: other("x")) == "x"
        assert await quicker(work("first", "y"), 1.0, nobody) == "y"
        assert await quicker(work("first", None), 1.0, nobody) is None
        with pytest.raises(KeyError):
            await quicker(work("first", None, never), 0.0, lambda: other(KeyError()))
        racing = asyncio.create_task(quicker(work("first", None, never), 0.0, nobody))
        await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0)
            racing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await racing
        assert sorted(ended) == ["first"] * 5 + ["second"] * 2
