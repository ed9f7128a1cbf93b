"""Many threads, many tasks, several event loops: exact sums, a rate limit that holds, nothing left open."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cortexd.library.limiter import Limiter
from llm_router import InvalidRequestError, LLMProvider, LLMResponse, LLMRouter, LLMRouterError, TaskType
from simulated import Behaviour, SimulatedProviders
from tests.eventually import assert_eventually
from tests.library.conftest import MakeRouter, ask

TASKS = (TaskType.USER_CHAT, TaskType.SYSTEM_OPERATION)


class TestThreads:
    @pytest.mark.parametrize(("threads", "calls"), [(40, 5), pytest.param(200, 20, marks=pytest.mark.slow)])
    def test_sums_are_exact(self, router: LLMRouter, simulated: SimulatedProviders, threads: int, calls: int) -> None:
        """Many threads with many calls each: every request, token and nano-dollar is in the sums, once."""
        start = threading.Barrier(threads)

        def ask_often(number: int) -> None:
            start.wait(60)
            for call in range(calls):
                router.complete(ask(), TASKS[(number + call) % 2])

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(ask_often, range(threads)))
        stats = router.get_stats()
        bills = {name: simulated.billed(name) for name in ("claude", "kimi_k2")}
        assert stats["total_requests"] == sum(bill.requests for bill in bills.values()) == threads * calls
        assert stats["total_cost_usd"] == sum(bill.nano for bill in bills.values()) / 1e9
        for name, bill in bills.items():
            tokens = bill.tokens.prompt + bill.tokens.output
            row = {"requests": bill.requests, "tokens": tokens, "cost_usd": bill.nano / 1e9}
            assert stats["providers"][name] == row

    def test_the_limit_holds(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """Threads keep to the rate limit as tasks do."""
        simulated.behave("claude", Behaviour(delay_s=0.01))
        router.set_rate_limit(max_concurrent=3)
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: router.complete(ask()), range(60)))
        assert simulated.counts("claude").max_concurrent == 3

    def test_the_first_clients_of_all(self, simulated: SimulatedProviders, make: MakeRouter) -> None:
        """Threads that need the first client at the same time share one."""
        router = make()
        with ThreadPoolExecutor(16) as pool:
            clients = set(pool.map(lambda _: id(router.claude_client), range(16)))
        assert len(clients) == 1


class TestTasks:
    async def test_a_thousand_at_once(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """1,000 calls at once with a limit of 50: all are answered, never more than 50 are upstream."""
        simulated.behave("claude", Behaviour(delay_s=0.02))
        router.set_rate_limit(max_concurrent=50)
        answers = await asyncio.gather(*(router.acomplete(ask(f"number {n}")) for n in range(1000)))
        assert [answer.content for answer in answers] == [
            f"[claude-sonnet-5-5] You said: number {n}" for n in range(1000)
        ]
        assert (simulated.counts("claude").max_concurrent, router.get_stats()["total_requests"]) == (50, 1000)
        await router.aclose()

    async def test_cancelling_gives_the_place_back(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """A call that is cancelled, while it waits or while it runs, leaves its place to others."""
        simulated.behave("claude", Behaviour(delay_s=60, times=1), Behaviour())
        router.set_rate_limit(1)
        running = asyncio.create_task(router.acomplete(ask()))
        while not simulated.counts("claude").active:
            await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(router.acomplete(ask())) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        running.cancel()
        done = await asyncio.gather(running, *waiting, return_exceptions=True)
        assert [type(item) for item in done] == [asyncio.CancelledError] * 2 + [LLMResponse] * 2
        assert simulated.counts("claude").client_aborts == 1
        await router.aclose()

    async def test_a_waiting_loop_cannot_be_blocked(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """A blocking call that would wait for its own loop's calls is refused at once, instead of never ending."""
        simulated.behave("claude", Behaviour(delay_s=60, times=1), Behaviour())
        router.set_rate_limit(1)
        running = asyncio.create_task(router.acomplete(ask()))
        while not simulated.counts("claude").active:
            await asyncio.sleep(0.01)
        with pytest.raises(LLMRouterError, match="await acomplete instead"):
            router.complete(ask())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert router.complete(ask()).content
        await router.aclose()


class TestLoops:
    def test_one_after_the_other(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """A router serves loop after loop, and each loop's connections end with it."""
        for _ in range(5):
            assert asyncio.run(router.acomplete(ask())).content
        assert_eventually(lambda: simulated.counts("claude").open_connections == 0)

    def test_at_the_same_time(self, router: LLMRouter) -> None:
        """Loops in several threads may share one router."""

        async def several() -> int:
            return len(await asyncio.gather(*(router.acomplete(ask(), TASKS[n % 2]) for n in range(10))))

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda _: asyncio.run(several()), range(8))) == [10] * 8
        assert router.get_stats()["total_requests"] == 80

    def test_a_client_that_was_looked_at_before(self, router: LLMRouter) -> None:
        """The asynchronous client seen outside of a loop is the one that the next loop uses."""
        seen = router.claude_async_client

        async def inside() -> object:
            await router.acomplete(ask())
            return router.claude_async_client

        assert asyncio.run(inside()) is seen
        assert router.claude_async_client is not seen

    async def test_a_router_that_is_dropped(self, simulated: SimulatedProviders, make: MakeRouter) -> None:
        """A router that nobody holds any more closes its connections, in threads and in running loops."""
        claude, kimi = simulated.url("claude"), simulated.url("kimi_k2")
        router = LLMRouter("sk-sim-a", "sk-sim-b", claude_base_url=claude, kimi_base_url=kimi)
        router.complete(ask())
        await router.acomplete(ask())
        assert simulated.counts("claude").open_connections == 2
        del router
        gc.collect()
        while simulated.counts("claude").open_connections:
            await asyncio.sleep(0.01)


class TestBatch:
    async def test_order_and_failures(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """Results stand where their requests stood; a request that fails has its exception there, and no other has."""
        requests = [{"messages": ask(f"number {n}"), "task_type": TASKS[n % 2]} for n in range(20)]
        requests[7] = {"messages": []}
        requests[8] = {"messages": ask(), "colour": "blue"}
        results = await router.complete_batch(requests)
        for number, result in enumerate(results):
            if number == 7:
                assert isinstance(result, InvalidRequestError)
            elif number == 8:
                assert isinstance(result, TypeError)
            else:
                assert isinstance(result, LLMResponse)
                assert result.content.endswith(f"You said: number {number}")
        await router.aclose()

    async def test_how_many_at_once(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """At most max_concurrent of a batch run at once, and all of them together keep to the rate limit."""
        simulated.behave("claude", Behaviour(delay_s=0.02))
        rows = [{"messages": ask()} for _ in range(30)]
        await router.complete_batch(rows, max_concurrent=4)
        assert simulated.counts("claude").max_concurrent == 4
        router.set_rate_limit(2)
        simulated.reset("claude")
        simulated.behave("claude", Behaviour(delay_s=0.02))
        await asyncio.gather(*(router.complete_batch(rows[:10], max_concurrent=8) for _ in range(3)))
        assert simulated.counts("claude").max_concurrent == 2
        await router.aclose()

    async def test_nothing_to_do(self, router: LLMRouter) -> None:
        """An empty batch has no results."""
        assert await router.complete_batch([]) == []

    @pytest.mark.parametrize("number", [0, -1, 2.5, True])
    async def test_numbers_that_are_none(self, router: LLMRouter, number: float) -> None:
        """A limit is a whole number from 1 on."""
        with pytest.raises(InvalidRequestError, match="max_concurrent"):
            await router.complete_batch([{}], max_concurrent=number)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError, match="max_concurrent"):
            router.set_rate_limit(number)  # type: ignore[arg-type]


class TestWaiting:
    def test_a_turn_that_does_not_come(self) -> None:
        """Waiting for a turn ends with an error that says what to do, and leaves no place taken."""
        limiter = Limiter(longest_wait_s=0.05)
        limiter.set(1)
        with limiter.slot():
            with pytest.raises(LLMRouterError, match="set_rate_limit"), limiter.slot():
                pass

            async def waiting() -> None:
                async with limiter.async_slot():
                    pass

            with pytest.raises(LLMRouterError, match="set_rate_limit"):
                asyncio.run(waiting())
        with limiter.slot():
            pass

    def test_a_higher_limit_lets_in(self, router: LLMRouter) -> None:
        """Raising or lifting the limit lets those in who wait already."""
        router.set_rate_limit(1)
        with ThreadPoolExecutor(1) as pool, router.stream(ask(), force_provider=LLMProvider.KIMI_K2) as held:
            next(held)
            waiting = pool.submit(router.complete, ask())
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
            router.set_rate_limit(None)
            assert waiting.result(10).content
