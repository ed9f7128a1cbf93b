"""Answers piece by piece, and what they cost when their reader stays, and when it leaves."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable

import httpx2
import openai
import pytest

from llm_router import LLMProvider, LLMRouter, ProvidersFailedError, TaskType
from simulated import Behaviour, Fault, SimulatedProviders, StreamUsage
from tests.eventually import assert_eventually, assert_eventually_async
from tests.library.conftest import MakeRouter, ask
from tests.library.test_answers import BOTH, TOOLS

TEN_WORDS = "one two three four five six seven eight nine ten"


def left(simulated: SimulatedProviders, name: str) -> Callable[[], bool]:
    return lambda: simulated.counts(name).active == 0


class TestWhole:
    @pytest.mark.parametrize("provider", BOTH)
    async def test_pieces_and_response(
        self, router: LLMRouter, simulated: SimulatedProviders, provider: LLMProvider
    ) -> None:
        """The pieces make the answer, and afterwards the response has costs and figures as the plain call has."""
        simulated.behave(provider, Behaviour(reply=TEN_WORDS, chunks=5, thinking="Hm."))
        plain = router.complete(ask(), force_provider=provider)
        stream = router.stream(ask(), force_provider=provider)
        astream = router.astream(ask(), force_provider=provider)
        assert stream.response is None
        for pieces, response in (
            (list(stream), stream.response),
            ([piece async for piece in astream], astream.response),
        ):
            assert (len(pieces), "".join(pieces)) == (5, TEN_WORDS)
            assert response
            assert (response.content, response.tokens_used) == (TEN_WORDS, plain.tokens_used)
            assert (response.cost_usd, response.dropped_options) == (plain.cost_usd, ("temperature",))
        assert router.get_stats()["total_cost_usd"] == simulated.billed(provider).nano / 1e9
        await router.aclose()

    @pytest.mark.parametrize("provider", BOTH)
    def test_tool_calls(self, router: LLMRouter, simulated: SimulatedProviders, provider: LLMProvider) -> None:
        """Tool calls of a stream are in its response."""
        arguments = json.dumps({"command": "apt-get install git" * 20})
        simulated.behave(provider, Behaviour(reply="Wait.", tool_calls=(("execute_bash", arguments),) * 2))
        stream = router.stream(ask(), force_provider=provider, tools=TOOLS)
        assert "".join(stream) == "Wait."
        assert stream.response
        functions = [call["function"] for call in stream.response.tool_calls]
        assert [function["name"] for function in functions] == ["execute_bash"] * 2
        assert [json.loads(function["arguments"]) for function in functions] == [json.loads(arguments)] * 2

    @pytest.mark.parametrize("place", StreamUsage)
    def test_usage_wherever_it_stands(
        self, router: LLMRouter, simulated: SimulatedProviders, place: StreamUsage
    ) -> None:
        """A server may say its usage on any chunk; where it says none the cost is unknown."""
        simulated.behave("kimi_k2", Behaviour(stream_usage=place))
        stream = router.stream(ask(), force_provider=LLMProvider.KIMI_K2)
        assert list(stream)
        assert stream.response
        assert stream.response.tokens_used == (0 if place is StreamUsage.NEVER else 9)


class TestFallback:
    @pytest.mark.parametrize(
        "trouble",
        [
            Behaviour(status=500),
            *(Behaviour(fault=fault, cut_after=0) for fault in Fault if fault not in (Fault.HANG, Fault.HANG_MID_BODY)),
        ],
        ids=lambda behaviour: str(behaviour.fault or behaviour.status),
    )
    @pytest.mark.parametrize(("task", "failing"), [(TaskType.USER_CHAT, "claude"), (TaskType.CONFIGURATION, "kimi_k2")])
    async def test_before_the_first_piece(
        self, make: MakeRouter, simulated: SimulatedProviders, trouble: Behaviour, task: TaskType, failing: str
    ) -> None:
        """Until the first piece is out another provider can take over, whatever went wrong."""
        simulated.behave(failing, trouble)
        router, other = make(), make()
        stream, astream = router.stream(ask(), task), other.astream(ask(), task)
        answer = "[kimi-k2.6] You said: hello" if failing == "claude" else "[claude-sonnet-5-5] You said: hello"
        assert "".join(stream) == answer
        assert "".join([piece async for piece in astream]) == answer
        assert stream.response
        assert stream.response.provider.value != failing
        await other.aclose()

    async def test_after_the_first_piece(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """Afterwards the error is the reader's, and nobody else is asked."""
        simulated.behave("claude", Behaviour(reply=TEN_WORDS, chunks=10, fault=Fault.RESET_MID_BODY))
        router = make()
        pieces = []
        with pytest.raises(httpx2.HTTPError):  # noqa: PT012  # the pieces before it count
            for piece in router.stream(ask()):
                pieces.append(piece)
        with pytest.raises(httpx2.HTTPError):  # noqa: PT012
            async for piece in router.astream(ask()):
                pieces.append(piece)
        assert (len(pieces), simulated.counts("kimi_k2").requests) == (10, 0)
        await router.aclose()

    def test_everybody_fails(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """When nobody begins, the error has both reasons; with fallback off it is the SDK's own."""
        for name in ("claude", "kimi_k2"):
            simulated.behave(name, Behaviour(status=500))
        with pytest.raises(ProvidersFailedError, match=r"claude .* kimi_k2"):
            next(router.stream(ask()))
        with pytest.raises(openai.InternalServerError):
            next(router.stream(ask(), force_provider=LLMProvider.KIMI_K2))


class TestLeaving:
    @pytest.mark.parametrize("provider", BOTH)
    def test_by_closing(self, router: LLMRouter, simulated: SimulatedProviders, provider: LLMProvider) -> None:
        """Closing a stream closes its connection and books what the provider had reported by then."""
        simulated.behave(
            provider,
            Behaviour(reply=TEN_WORDS, chunks=500, chunk_delay_s=0.01, stream_usage=StreamUsage.EVERY_CHUNK),
        )
        with router.stream(ask(), force_provider=provider) as stream:
            assert next(stream)
        assert_eventually(left(simulated, provider))
        row = router.get_stats()["providers"][provider]
        assert (row["requests"], row["tokens"] > 0, row["cost_usd"] > 0) == (1, True, True)
        assert simulated.billed_undelivered(provider).requests == 1
        assert stream.response is None

    def test_by_leaving_the_loop(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """A loop that is left ends the request, and frees its place in the rate limit."""
        simulated.behave("claude", Behaviour(reply=TEN_WORDS, chunks=500, chunk_delay_s=0.01))
        router.set_rate_limit(1)
        for _ in range(3):
            for _piece in router.stream(ask()):
                break
        assert_eventually(left(simulated, "claude"))
        assert simulated.counts("claude").max_concurrent <= 2  # the server may see the next before the last one's end
        simulated.behave("claude", Behaviour())
        assert router.complete(ask()).content

    def test_usage_that_was_not_said(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """Where no usage had been reported, nothing is booked: it is not known."""
        simulated.behave("kimi_k2", Behaviour(reply=TEN_WORDS, chunks=500, chunk_delay_s=0.01))
        with router.stream(ask(), force_provider=LLMProvider.KIMI_K2) as stream:
            next(stream)
        assert router.get_stats()["total_requests"] == 0

    async def test_an_asynchronous_one(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """The same for asynchronous streams: at the end of `async with`, and when they are dropped."""
        simulated.behave("claude", Behaviour(reply=TEN_WORDS, chunks=500, chunk_delay_s=0.01))
        async with router.astream(ask()) as stream:
            await anext(stream)
        assert router.get_stats()["providers"]["claude"]["requests"] == 1
        async for _piece in router.astream(ask()):
            break
        gc.collect()
        await assert_eventually_async(left(simulated, "claude"))
        assert router.get_stats()["providers"]["claude"]["requests"] == 2
        await router.aclose()
