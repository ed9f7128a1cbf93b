"""LLMRouter() and LLMRouter(bus=...) give equal answers, costs, statistics and streams."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from llm_router import (
    InvalidRequestError,
    LLMProvider,
    LLMResponse,
    LLMRouter,
    ProviderFailedError,
    TaskType,
    complete_task,
)
from simulated import Behaviour, Fault
from tests.bus.served import Served, served_fixture, served_of_module_fixture  # noqa: F401
from tests.eventually import assert_eventually, assert_eventually_async
from tests.library.conftest import ask
from tests.library.over_bus import (  # noqa: F401
    BROKEN,
    NEEDS_A_BUS,
    MakePair,
    Pair,
    pair_fixture,
    pair_of_fixture,
    raised,
    router_fixture,
    said,
)
from tests.library.test_answers import BOTH, TOOLS

pytestmark = NEEDS_A_BUS
TEN_WORDS = "one two three four five six seven eight nine ten"
CALLS = (("execute_bash", '{"command": "true"}'),)


class TestEqual:
    @pytest.mark.parametrize("task", TaskType)
    def test_answers(self, pair: Pair, task: TaskType) -> None:
        """Each task type gets the same answer from the same provider at the same cost."""
        own, bus = pair.both(lambda router: router.complete(ask(), task))
        assert said(own) == said(bus)
        assert (bus.cost_usd > 0, bus.tokens_used > 0) == (True, True)
        assert {field.name: type(getattr(bus, field.name)) for field in dataclasses.fields(bus)} == {
            field.name: type(getattr(own, field.name)) for field in dataclasses.fields(own)
        }

    def test_statistics(self, pair: Pair) -> None:
        """The same calls give the same figures, to the nano-dollar; a reset begins at zero."""
        assert pair.own.get_stats() == pair.bus.get_stats()
        for task in TaskType:
            pair.both(partial(LLMRouter.complete, messages=ask(f"about {task}"), task_type=task))
            assert pair.own.get_stats() == pair.bus.get_stats()
        assert pair.bus.get_stats()["total_requests"] == len(TaskType)
        for router in pair:
            router.reset_stats()
        assert pair.own.get_stats() == pair.bus.get_stats()
        assert pair.bus.get_stats()["total_cost_usd"] == 0

    async def test_in_a_loop(self, pair: Pair) -> None:
        """acomplete and complete_batch as well, an error of a batch in its place."""
        own, bus = [await router.acomplete(ask()) for router in pair]
        assert said(own) == said(bus)
        rows = [{"messages": ask(f"number {number}"), "task_type": "configuration"} for number in range(20)]
        rows.append({"messages": []})
        answers = [await router.complete_batch(rows) for router in pair]
        texts = [[row.content if isinstance(row, LLMResponse) else type(row) for row in batch] for batch in answers]
        assert texts[0] == texts[1]
        assert texts[1][-1] is InvalidRequestError
        assert pair.own.get_stats() == pair.bus.get_stats()
        for router in pair:
            await router.aclose()

    @pytest.mark.parametrize("provider", BOTH)
    def test_tool_calls(self, served: Served, pair: Pair, provider: LLMProvider) -> None:
        """Offered tools, their calls and the way back with a result are the same."""
        served.simulated.behave(provider, Behaviour(tool_calls=CALLS))
        own, bus = pair.both(lambda router: router.complete(ask(), force_provider=provider, tools=iter(TOOLS)))
        # the simulated providers count their calls' ids up
        assert [call["function"] for call in own.tool_calls] == [call["function"] for call in bus.tool_calls]
        assert (own.finish_reason, bus.finish_reason) == ("tool_calls", "tool_calls")
        served.simulated.reset(provider)
        [call] = bus.tool_calls
        result = {"role": "tool", "tool_call_id": call["id"], "content": "done"}
        turns = [*ask(), {"role": "assistant", "content": None, "tool_calls": [call]}, result]
        own, bus = pair.both(lambda router: router.complete(turns, force_provider=provider, tools=TOOLS))
        assert said(own) == said(bus)

    def test_options(self, pair: Pair) -> None:
        """Options go along, and what a model does not take is named."""
        own, bus = pair.both(lambda router: router.complete(ask(), temperature=0, max_tokens=2))
        assert said(own) == said(bus)
        assert (bus.dropped_options, bus.finish_reason) == (("temperature",), "length")
        own, bus = pair.both(lambda router: router.complete(ask(), temperature=None, max_tokens=None))
        assert said(own) == said(bus)
        assert bus.dropped_options == ()

    def test_unknown_costs(self, served: Served, pair: Pair) -> None:
        """Where the usage is not known neither is the cost, and no worst case is shown in its place."""
        served.simulated.behave("kimi_k2", Behaviour(usage_without=("*",)))
        own, bus = pair.both(lambda router: router.complete(ask(), TaskType.CONFIGURATION))
        assert (math.isnan(own.cost_usd), math.isnan(bus.cost_usd)) == (True, True)
        assert (own.tokens_used, bus.tokens_used) == (0, 0)
        assert pair.own.get_stats() == pair.bus.get_stats()

    def test_without_tracking(self, pair_of: MakePair) -> None:
        """With track_costs off the statistics stay empty."""
        pair = pair_of(track_costs=False)
        own, bus = pair.both(lambda router: router.complete(ask()))
        assert said(own) == said(bus)
        assert pair.bus.get_stats() == pair.own.get_stats()
        assert pair.bus.get_stats()["total_requests"] == 0

    @pytest.mark.parametrize("task", [TaskType.USER_CHAT, TaskType.CONFIGURATION])
    def test_fallback(self, served: Served, pair: Pair, task: TaskType) -> None:
        """The other provider stands in, and its own attempt is what the answer cost."""
        first = "claude" if task is TaskType.USER_CHAT else "kimi_k2"
        served.simulated.behave(first, dataclasses.replace(BROKEN, times=2))
        own, bus = pair.both(lambda router: router.complete(ask(), task))
        assert said(own) == said(bus)
        assert pair.own.get_stats() == pair.bus.get_stats()
        pair.both(lambda router: router.complete(ask(), task))
        assert pair.own.get_stats() == pair.bus.get_stats()

    def test_complete_task(self, served: Served) -> None:
        """The convenience function takes the bus too."""
        answer = complete_task("Why?", TaskType.CONFIGURATION, "Be brief", bus=served.address)
        assert answer == "[kimi-k2.6] You said: Why?"

    def test_threads_and_loops(self, router: LLMRouter) -> None:
        """One router serves threads and event loops at once, within its rate limit."""

        async def some() -> list[str]:
            return [(await router.acomplete(ask(), force_provider="kimi_k2")).content for _ in range(5)]

        router.set_rate_limit(3)
        with ThreadPoolExecutor(6) as pool:
            plain = [pool.submit(router.complete, ask()) for _ in range(20)]
            loops = [pool.submit(asyncio.run, some()) for _ in range(2)]
            assert {future.result(60).content for future in plain} == {"[claude-sonnet-5-5] You said: hello"}
            assert [len(future.result(60)) for future in loops] == [5, 5]
        assert router.get_stats()["total_requests"] == 30


class TestStreams:
    @pytest.mark.parametrize("provider", BOTH)
    async def test_whole(self, served: Served, pair: Pair, provider: LLMProvider) -> None:
        """The same text, response and statistics, for both kinds of iteration."""
        served.simulated.behave(provider, Behaviour(reply=TEN_WORDS, chunks=5, thinking="Hm."))
        plain = pair.bus.complete(ask(), force_provider=provider)
        for router in pair:
            stream = router.stream(ask(), force_provider=provider)
            astream = router.astream(ask(), force_provider=provider)
            assert (stream.response, "".join(stream)) == (None, TEN_WORDS)
            assert "".join([piece async for piece in astream]) == TEN_WORDS
            for response in (stream.response, astream.response):
                assert response
                assert said(response) == said(plain)
            await router.aclose()
        pair.own.complete(ask(), force_provider=provider)
        assert pair.own.get_stats() == pair.bus.get_stats()

    def test_tool_calls(self, served: Served, pair: Pair) -> None:
        """Tool calls of a stream are in its response."""
        served.simulated.behave("kimi_k2", Behaviour(reply="Wait.", tool_calls=CALLS))
        for router in pair:
            stream = router.stream(ask(), TaskType.CONFIGURATION, tools=TOOLS)
            assert "".join(stream) == "Wait."
            assert stream.response
            assert [call["function"]["name"] for call in stream.response.tool_calls] == ["execute_bash"]

    async def test_fallback_before_the_first_piece(self, served: Served, pair: Pair) -> None:
        """Until the first piece is out another provider takes over."""
        served.simulated.behave("claude", dataclasses.replace(BROKEN, times=4))
        for router in pair:
            assert "".join(router.stream(ask())) == "[kimi-k2.6] You said: hello"
            assert "".join([piece async for piece in router.astream(ask())]) == "[kimi-k2.6] You said: hello"
            await router.aclose()
        assert pair.own.get_stats() == pair.bus.get_stats()
        pair.bus.complete(ask())

    def test_another_goes_on_where_that_is_wanted(self, served: Served, pair: Pair) -> None:
        """One text from two models, in process and over the bus."""
        broken = {"fault": Fault.END_EARLY, "cut_after": 20, "chunk_delay_s": 0.002, "times": 2}
        breaking = Behaviour.from_json({"reply": TEN_WORDS, "chunks": len(TEN_WORDS), **broken})
        served.simulated.behave("claude", breaking)
        served.simulated.behave("kimi_k2", Behaviour(reply="<rest>"))
        streams = pair.both(lambda router: router.stream(ask(), on_break="continue"))
        for stream in streams:
            before, rest, _ = "".join(stream).partition("<rest>")
            assert before
            assert (TEN_WORDS.startswith(before), rest) == (True, "<rest>")
            assert stream.response
            assert (stream.response.content, stream.response.provider) == (before + rest, LLMProvider.KIMI_K2)

    async def test_no_second_beginning(self, served: Served, router: LLMRouter) -> None:
        """After the first piece a failure is the reader's: no other answer follows the half one, and it is ended."""
        served.simulated.behave("claude", Behaviour(reply=TEN_WORDS, chunks=10, fault=Fault.RESET_MID_BODY, times=2))
        served.simulated.behave("kimi_k2", Behaviour(reply=TEN_WORDS, chunks=500, chunk_delay_s=0.05))
        heard, heard_async = "", ""
        with pytest.raises(ProviderFailedError, match="in the middle"):  # noqa: PT012  # the pieces before it count
            for piece in router.stream(ask()):
                heard += piece
        async with router:
            with pytest.raises(ProviderFailedError, match="in the middle"):  # noqa: PT012
                async for piece in router.astream(ask()):
                    heard_async += piece
            assert heard
            assert heard_async
            assert TEN_WORDS.startswith(heard)
            assert TEN_WORDS.startswith(heard_async)
            await assert_eventually_async(lambda: served.simulated.counts("kimi_k2").active == 0)
        served.simulated.reset("kimi_k2")
        router.complete(ask())

    @pytest.mark.parametrize("way", ["close", "with", "drop"])
    def test_leaving(self, served: Served, router: LLMRouter, way: str) -> None:
        """A stream that is left ends at the provider too, and frees its place in the rate limit."""
        served.simulated.behave("claude", Behaviour(reply=TEN_WORDS, chunks=500, chunk_delay_s=0.05))
        router.set_rate_limit(1)
        stream = router.stream(ask())
        assert next(stream)
        if way == "close":
            stream.close()
        elif way == "with":
            with stream:
                pass
        del stream
        gc.collect()
        assert_eventually(lambda: served.simulated.counts("claude").active == 0)
        served.simulated.reset("claude")
        assert router.complete(ask()).content

    async def test_leaving_in_a_loop(self, served: Served, router: LLMRouter) -> None:
        """The same for asynchronous streams, and for a call that is cancelled."""
        served.simulated.behave("claude", Behaviour(reply=TEN_WORDS, chunks=500, chunk_delay_s=0.05))
        async with router:
            async with router.astream(ask()) as stream:
                await anext(stream)
            await assert_eventually_async(lambda: served.simulated.counts("claude").active == 0)
            served.simulated.behave("claude", Behaviour(fault=Fault.HANG))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await router.acomplete(ask())
            await assert_eventually_async(lambda: served.simulated.counts("claude").active == 0)
