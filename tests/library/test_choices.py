"""What a call may choose for itself, in the words of the bus: strategy, on_break, hedge."""

from __future__ import annotations

from typing import Any

import pytest

from cortexd.routing.continuing import INSTRUCTION
from llm_router import (
    InvalidRequestError,
    LLMProvider,
    LLMRouter,
    ProviderFailedError,
    ProvidersFailedError,
    RoutingDecision,
    TaskType,
)
from simulated import Behaviour, Fault, SimulatedProviders
from tests.eventually import assert_eventually, assert_eventually_async
from tests.library.conftest import ask

TEXT = "One two three four five six seven eight nine ten eleven twelve."
REST = "<and on from here>"
CHAT, CODE = TaskType.USER_CHAT, TaskType.CODE_GENERATION
SLOW_S = 30.0


def broken(at: int = 20) -> Behaviour:
    """Claude says `at` characters, each in an event of its own, and breaks."""
    return Behaviour(reply=TEXT, chunks=len(TEXT), cut_after=at + 1, fault=Fault.END_EARLY)


class TestStrategy:
    def test_it_chooses_in_place_of_the_table(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """The cheapest for a chat, which by the table is Claude's; the decision says the same."""
        assert router.complete(ask(), CHAT).provider is LLMProvider.CLAUDE
        assert router.complete(ask(), CHAT, strategy="cost").provider is LLMProvider.KIMI_K2
        decision = router.route_task(CHAT, strategy="cost")
        assert (decision.provider, decision.confidence) == (LLMProvider.KIMI_K2, RoutingDecision.BY_RULE)

    def test_the_table_is_one(self, router: LLMRouter) -> None:
        """Named or not, the program's own rules hold."""
        for task in (CHAT, CODE):
            assert router.complete(ask(), task, strategy="table").provider is router.ROUTING_RULES[task]

    async def test_the_quicker_one(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """By the answers that this router has had."""
        simulated.behave("claude", Behaviour(delay_s=0.3))
        for provider in (LLMProvider.CLAUDE, LLMProvider.KIMI_K2):
            for _ in range(3):
                await router.acomplete(ask(), force_provider=provider)
        answer = await router.acomplete(ask(), CHAT, strategy="latency")
        assert answer.provider is LLMProvider.KIMI_K2
        await router.aclose()

    def test_a_stream(self, router: LLMRouter) -> None:
        """The same holds for it."""
        stream = router.stream(ask(), CHAT, strategy="cost")
        assert list(stream)
        assert stream.response
        assert stream.response.provider is LLMProvider.KIMI_K2

    def test_a_forced_provider_stands_above_it(self, router: LLMRouter) -> None:
        """Whoever is forced is asked alone."""
        assert router.complete(ask(), force_provider="claude", strategy="cost").provider is LLMProvider.CLAUDE

    @pytest.mark.parametrize(
        "choice", [{"strategy": "learned"}, {"strategy": "best"}, {"on_break": "retry"}, {"hedge": "yes"}], ids=str
    )
    def test_what_cannot_be(self, router: LLMRouter, choice: dict[str, Any]) -> None:
        """Nobody learns from outcomes in this process, and no other words are known; nobody is asked."""
        with pytest.raises(InvalidRequestError):
            router.complete(ask(), **choice)
        assert router.request_count == 0


class TestOnBreak:
    def test_the_next_goes_on(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """The text is one; the other model was shown what was said, and both are paid for."""
        simulated.behave("claude", broken())
        simulated.behave("kimi_k2", Behaviour(reply=TEXT[15:20] + REST))
        stream = router.stream(ask(), on_break="continue")
        text = "".join(stream)
        assert text == TEXT[:20] + TEXT[15:20] + REST
        assert stream.response
        assert (stream.response.content, stream.response.provider) == (text, LLMProvider.KIMI_K2)
        messages = simulated.received("kimi_k2")[-1].json()["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant", "user"]
        assert (messages[1]["content"], messages[2]["content"]) == (TEXT[:20], INSTRUCTION)

    async def test_what_it_repeats_is_left_out(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """From sixteen characters on, however it comes, for `async for` too."""
        for chunks in (1, 7):
            simulated.behave("claude", broken(at=30))
            simulated.behave("kimi_k2", Behaviour(reply=TEXT[10:], chunks=chunks))
            stream = router.astream(ask(), on_break="continue")
            assert "".join([piece async for piece in stream]) == TEXT
            assert stream.response
            assert stream.response.content == TEXT
        await router.aclose()

    @pytest.mark.parametrize("on_break", [None, "fail", "restart"])
    def test_it_ends_otherwise(self, router: LLMRouter, simulated: SimulatedProviders, on_break: str | None) -> None:
        """With the error, since no text can be taken back."""
        simulated.behave("claude", broken())
        with pytest.raises(ProviderFailedError):
            list(router.stream(ask(), on_break=on_break))
        assert simulated.counts("kimi_k2").requests == 0

    def test_nobody_goes_on_for_a_forced_provider(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """Nor with fallback off: the other one is not to see the text."""
        simulated.behave("claude", broken())
        with pytest.raises(ProviderFailedError):
            list(router.stream(ask(), force_provider="claude", on_break="continue"))
        router.enable_fallback = False
        with pytest.raises(ProviderFailedError):
            list(router.stream(ask(), on_break="continue"))
        assert simulated.counts("kimi_k2").requests == 0

    def test_all_break(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """The error has them all, and the pieces before it count."""
        simulated.behave("claude", broken())
        simulated.behave("kimi_k2", Behaviour(status=500))
        pieces: list[str] = []
        with pytest.raises(ProvidersFailedError) as caught:
            pieces.extend(router.stream(ask(), on_break="continue"))
        assert list(caught.value.errors) == ["claude", "kimi_k2"]


class TestHedge:
    """Claude has answered twenty times within moments, and then takes long."""

    async def test_the_slower_one_is_cancelled(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """In an event loop its connection ends with the quicker one's answer."""
        for _ in range(20):
            await router.acomplete(ask(), hedge=True)
        simulated.behave("claude", Behaviour(delay_s=SLOW_S))
        assert (await router.acomplete(ask(), hedge=True)).provider is LLMProvider.KIMI_K2
        await assert_eventually_async(lambda: simulated.counts("claude").active == 0)
        assert router.request_count == 21
        await router.aclose()

    def test_the_slower_one_is_booked(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """A thread waits for nobody; what the slower one's answer cost counts when it comes."""
        for _ in range(20):
            router.complete(ask(), hedge=True)
        simulated.behave("claude", Behaviour(delay_s=1.0))
        assert router.complete(ask(), hedge=True).provider is LLMProvider.KIMI_K2
        assert_eventually(lambda: router.request_count == 22)

    def test_the_quicker_first_one_counts(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """Also where it was slower than usual, and the second one fails."""
        for _ in range(20):
            router.complete(ask(), hedge=True)
        simulated.behave("claude", Behaviour(delay_s=0.5))
        simulated.behave("kimi_k2", Behaviour(status=500))
        assert router.complete(ask(), hedge=True).provider is LLMProvider.CLAUDE

    def test_the_limit_holds(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """Whoever may have one call upstream has no second one beside it."""
        router.set_rate_limit(1)
        for _ in range(20):
            router.complete(ask(), hedge=True)
        simulated.behave("claude", Behaviour(delay_s=0.5))
        assert router.complete(ask(), hedge=True).provider is LLMProvider.CLAUDE
        assert simulated.counts("kimi_k2").requests == 0

    async def test_only_where_it_is_wanted(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """Without the word nobody else is asked."""
        for _ in range(21):
            await router.acomplete(ask())
        simulated.behave("claude", Behaviour(delay_s=0.5))
        assert (await router.acomplete(ask())).provider is LLMProvider.CLAUDE
        assert simulated.counts("kimi_k2").requests == 0
        await router.aclose()
