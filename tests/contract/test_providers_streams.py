"""Answers heard while they arrive: equal to the plain ones, in order, never ahead of their listener, and bounded."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from cortexd.domain.messages import Answer, Call, Tool, ToolCall, Usage
from cortexd.errors import Failure, ProviderError
from cortexd.providers import Delta, Listener, Provider
from simulated import Behaviour, Fault, SimulatedProviders, StreamUsage
from tests.contract.conftest import HostileServer, MakeProvider, call, made_ready
from tests.contract.kinds import KINDS, each, framed
from tests.eventually import assert_eventually_async

WEATHER = Tool("weather")
MEGABYTE = 1024 * 1024
LONG = "Grüße, \N{ROCKET} and \u0000\ud800. " * 200


class Ear:
    """A listener's ear: what it heard, call by call, and what it does besides."""

    def __init__(self, then: Callable[[], Awaitable[object]] | None = None) -> None:
        self.calls: list[Sequence[Delta]] = []
        self.listener = Listener(self._hear)
        self._then = then

    async def _hear(self, deltas: Sequence[Delta]) -> None:
        self.calls.append(deltas)
        if self._then is not None:
            await self._then()

    @property
    def text(self) -> str:
        return "".join(delta for deltas in self.calls for delta in deltas if isinstance(delta, str))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(delta for deltas in self.calls for delta in deltas if isinstance(delta, ToolCall))


def comparable(answer: Answer) -> Answer:
    """Without what differs from answer to answer: the ids that the provider numbers, and the time."""
    calls = tuple(replace(wish, id="") for wish in answer.tool_calls)
    return replace(answer, tool_calls=calls, time_to_first_token_ms=None)


def delta_event(name: str, text: str) -> bytes:
    """An event with a piece of the answer's text."""
    return framed(KINDS[name].delta(text))


def first_events(name: str) -> bytes:
    return framed(*KINDS[name].first)


def last_events(name: str) -> bytes:
    return framed(*KINDS[name].last)


async def failure_of(provider: Provider, request: Call, listener: Listener) -> ProviderError:
    with pytest.raises(ProviderError) as failed:
        await provider.complete(request, listener)
    return failed.value


class TestEquality:
    @each
    @pytest.mark.parametrize("place", list(StreamUsage)[:4])
    async def test_text_thinking_and_figures(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, place: StreamUsage
    ) -> None:
        """The answer is the plain one, wherever usage stands; what was heard adds up to its content."""
        figures = Behaviour(input_tokens=40, cache_read_tokens=10, output_tokens=900, reasoning_tokens=12)
        simulated.behave(name, replace(figures, reply=LONG, thinking="let me see", stream_usage=place))
        provider, ear = make(name, simulated.url(name)), Ear()
        streamed = await provider.complete(call(name, temperature=0.5), ear.listener)
        simulated.behave(name, replace(figures, reply=LONG, thinking="let me see", ignores_stream=True))
        plain = await provider.complete(call(name, temperature=0.5))
        assert [request.json()["stream"] for request in simulated.received(name)] == [True, True]
        assert comparable(streamed) == comparable(plain)
        assert (plain.content, plain.dropped_options) == (ear.text, () if KINDS[name].cools else ("temperature",))
        assert plain.usage == ear.listener.usage
        assert ear.listener.output_bytes == len((LONG + "let me see").encode("utf-8", "surrogatepass"))

    @each
    async def test_tool_calls(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """Tool calls are heard whole, in order, after the text before them."""
        wishes = (("weather", json.dumps({"city": "Köln", "days": [1, 2.5], "why": "x" * 500})), ("weather", "{}"))
        simulated.behave(name, Behaviour(reply="I shall look.", tool_calls=wishes))
        provider, ear = make(name, simulated.url(name)), Ear()
        plain = await provider.complete(call(name, tools=(WEATHER,)))
        streamed = await provider.complete(call(name, tools=(WEATHER,)), ear.listener)
        assert comparable(streamed) == comparable(plain)
        assert (ear.text, ear.tool_calls) == (streamed.content, streamed.tool_calls)
        assert [type(delta) for deltas in ear.calls for delta in deltas][-2:] == [ToolCall, ToolCall]
        assert streamed.finish_reason == "tool_calls"

    @each
    async def test_a_length_limit_and_no_usage(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """A cut answer says so, and usage that nobody reported is unknown."""
        simulated.behave(name, Behaviour(usage_without=("*",)))
        ear = Ear()
        answer = await make(name, simulated.url(name)).complete(call(name, "x" * 100, max_tokens=3), ear.listener)
        assert (answer.finish_reason, answer.usage, ear.listener.usage) == ("length", None, None)

    @each
    async def test_a_server_that_cannot_stream(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A server that ignores `stream` and answers in one piece is heard in one piece."""
        hostile.json(KINDS[name].reply("so be it", usage=KINDS[name].usage(3, 2)))
        ear = Ear()
        answer = await make(name, hostile.url(name)).complete(call(name), ear.listener)
        assert (ear.calls, answer.content) == ([["so be it"]], "so be it")
        assert (ear.listener.usage, ear.listener.output_bytes) == (Usage(3, 2), 8)

    @each
    async def test_an_answer_of_nothing(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """An answer with nothing in it is a failure, so that somebody else may answer, and may have been billed."""
        for thinking in (None, "let me see"):
            simulated.behave(name, Behaviour(reply="", thinking=thinking))
            ear = Ear()
            for listener in (ear.listener, None):
                with pytest.raises(ProviderError) as failed:
                    await make(name, simulated.url(name)).complete(call(name), listener)
                assert (failed.value.failure, failed.value.may_have_billed) == (Failure.MALFORMED, True)
            assert ear.calls == []


class TestArrival:
    @each
    async def test_ten_thousand_chunks(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """They arrive whole and in order, and what came together is one text."""
        text = "".join(f"{n:06d}|" for n in range(10_000))
        simulated.behave(name, Behaviour(reply=text, chunks=10_000))
        ear = Ear()
        answer = await make(name, simulated.url(name)).complete(call(name), ear.listener)
        assert ear.text == answer.content == text
        assert {len(deltas) for deltas in ear.calls} == {1}
        assert simulated.counts(name).chunks_sent > 10_000

    @each
    async def test_characters_in_pieces(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """However the network cuts the bytes, characters of several bytes arrive as they are."""
        text = "aü\N{ROCKET}漢"
        stream = first_events(name) + delta_event(name, text) + delta_event(name, text) + last_events(name)
        hostile.events(*(stream[at : at + 1] for at in range(len(stream))))
        ear = Ear()
        answer = await make(name, hostile.url(name)).complete(call(name), ear.listener)
        assert (answer.content, ear.calls) == (text * 2, [[text], [text]])

    @each
    async def test_the_time_to_the_first_token(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """It counts from the start of the attempt to the first delta, whether anybody listens or not."""
        simulated.behave(name, Behaviour(delay_s=0.2, chunks=5, chunk_delay_s=0.05))
        provider, ear = make(name, simulated.url(name)), Ear()
        unheard = (await provider.complete(call(name))).time_to_first_token_ms
        assert unheard is not None
        assert unheard >= 200
        began = time.monotonic()
        answer = await provider.complete(call(name), ear.listener)
        took_ms = (time.monotonic() - began) * 1000
        assert answer.time_to_first_token_ms is not None
        assert 200 <= answer.time_to_first_token_ms < took_ms - 100
        assert ear.listener.first_at is not None
        assert answer.time_to_first_token_ms == pytest.approx((ear.listener.first_at - began) * 1000, abs=5)

    @each
    async def test_a_connection_is_used_again(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """Streams one after the other share a connection."""
        provider = make(name, simulated.url(name))
        for _ in range(4):
            await provider.complete(call(name), Ear().listener)
        counts = simulated.counts(name)
        assert (counts.answered, counts.open_connections) == (4, 1)


class TestBackpressure:
    @each
    async def test_a_listener_that_is_busy(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """While the listener has not returned nothing is read: the provider waits, and memory stays flat."""
        provider = await made_ready(make, name, hostile, max_answer_bytes=100 * MEGABYTE)
        hostile.events(first_events(name))
        hostile.endless = delta_event(name, "x" * 900) * 64
        free = asyncio.Event()
        ear = Ear(free.wait)
        tracemalloc.start()
        try:
            attempt = asyncio.create_task(provider.complete(call(name, timeout_s=0.5), ear.listener))
            await assert_eventually_async(lambda: ear.calls)
            await asyncio.sleep(1.0)  # twice the time limit, which does not bound the listener
            sent = hostile.sent
            _, peak = tracemalloc.get_traced_memory()
            await asyncio.sleep(0.1)
        finally:
            tracemalloc.stop()
        assert (len(ear.calls), hostile.sent, attempt.done()) == (1, sent, False)
        assert sent < 20 * MEGABYTE
        assert peak < 6 * MEGABYTE
        free.set()
        await assert_eventually_async(lambda: hostile.sent > sent)  # not to its end, which ends the attempt as well
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt

    @each
    async def test_a_slow_listener_gets_all(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """A listener slower than the time limit hears the whole answer."""
        provider = make(name, simulated.url(name))
        await provider.complete(call(name))
        simulated.behave(name, Behaviour(reply="abcdef", chunks=3, chunk_delay_s=0.02))
        ear = Ear(lambda: asyncio.sleep(0.6))
        answer = await provider.complete(call(name, timeout_s=0.5), ear.listener)
        assert ear.text == answer.content == "abcdef"


class TestLeaving:
    @each
    @pytest.mark.parametrize("busy", [False, True])
    async def test_cancelling_closes_the_connection(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, busy: bool
    ) -> None:
        """A cancelled stream ends its TCP connection at once, in a wait for the provider and in the listener."""
        simulated.behave(name, Behaviour(reply="abc", chunks=3, fault=Fault.HANG_MID_BODY, cut_after=3))
        ear = Ear(asyncio.Event().wait if busy else None)
        attempt = asyncio.create_task(make(name, simulated.url(name)).complete(call(name), ear.listener))
        await assert_eventually_async(lambda: ear.calls)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await assert_eventually_async(lambda: simulated.counts(name).client_aborts == 1, timeout=1)
        assert simulated.counts(name).open_connections == 0
        assert ear.listener.output_bytes >= 1
        assert (ear.listener.usage is not None) == KINDS[name].early

    @each
    @pytest.mark.parametrize(
        "error",
        [
            ValueError("mine"),
            TimeoutError("mine"),
            RuntimeError("mine"),
            BrokenPipeError("mine"),
            ProviderError(Failure.REFUSED, "mine sk-sim-kimi_k2-0123456789"),
        ],
        ids=lambda error: type(error).__name__,
    )
    async def test_what_the_listener_raises(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, error: Exception
    ) -> None:
        """Its exception comes out as it is, and the connection is closed."""

        async def fail() -> None:
            raise error

        simulated.behave(name, Behaviour(fault=Fault.HANG_MID_BODY, chunks=3, cut_after=3))
        before = str(error)
        with pytest.raises(type(error)) as raised:
            await make(name, simulated.url(name)).complete(call(name), Ear(fail).listener)
        assert raised.value is error
        assert (str(error), error.__cause__) == (before, None)
        await assert_eventually_async(lambda: simulated.counts(name).client_aborts == 1, timeout=1)

    @each
    @pytest.mark.parametrize("busy", [False, True])
    async def test_closing_the_provider(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, busy: bool
    ) -> None:
        """A provider that is closed ends its streams with an error, once the listener has returned."""
        simulated.behave(name, Behaviour(reply="abc", chunks=3, fault=Fault.HANG_MID_BODY, cut_after=3))
        free = asyncio.Event()
        provider, ear = make(name, simulated.url(name)), Ear(free.wait if busy else None)
        attempt = asyncio.create_task(failure_of(provider, call(name), ear.listener))
        await assert_eventually_async(lambda: ear.calls)
        await provider.aclose()
        free.set()
        error = await asyncio.wait_for(attempt, 30)
        assert (error.failure, error.may_have_billed) == (Failure.CONNECTION, True)


class TestFailures:
    @each
    @pytest.mark.parametrize(
        ("fault", "failures"),
        [
            (Fault.RESET_MID_BODY, {Failure.CONNECTION}),
            (Fault.END_EARLY, {Failure.CONNECTION}),
            (Fault.STREAM_ERROR, {Failure.SERVER, Failure.OVERLOADED}),
            (Fault.MALFORMED_JSON, {Failure.MALFORMED}),
            (Fault.HANG_MID_BODY, {Failure.TIMEOUT}),
        ],
    )
    async def test_in_the_middle(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, fault: Fault, failures: set[Failure]
    ) -> None:
        """What breaks off is a failure that may have billed; the text until then was heard, and the use as said."""
        running = StreamUsage.EVERY_CHUNK
        simulated.behave(
            name,
            Behaviour(
                reply="abcdef",
                chunks=6,
                fault=fault,
                cut_after=4,
                chunk_delay_s=0.01,
                stream_usage=running,
                input_tokens=9,
            ),
        )
        ear = Ear()
        error = await failure_of(make(name, simulated.url(name)), call(name, timeout_s=2.0), ear.listener)
        assert error.failure in failures
        assert error.may_have_billed
        assert "abcdef".startswith(ear.text)
        assert ear.text
        assert (ear.listener.usage is not None) == KINDS[name].runs
        assert ear.listener.usage is None or ear.listener.usage.input_tokens == 9
        assert ear.listener.output_bytes >= len(ear.text)

    @each
    @pytest.mark.parametrize(
        ("fault", "failure", "billed"),
        [
            (Fault.HANG, Failure.TIMEOUT, True),
            (Fault.RESET, Failure.CONNECTION, True),
            (Fault.EMPTY_BODY, Failure.MALFORMED, True),
            (Fault.ERROR_ON_200, Failure.SERVER, False),
        ],
    )
    async def test_before_the_first_token(
        self,
        simulated: SimulatedProviders,
        make: MakeProvider,
        name: str,
        fault: Fault,
        failure: Failure,
        billed: bool,
    ) -> None:
        """What fails before the first token was not heard at all."""
        simulated.behave(name, Behaviour(fault=fault))
        ear = Ear()
        error = await failure_of(make(name, simulated.url(name)), call(name, timeout_s=2.0), ear.listener)
        assert (error.failure, error.may_have_billed, ear.calls) == (failure, billed, [])
        assert (ear.listener.usage, ear.listener.output_bytes, ear.listener.first_at) == (None, 0, None)

    @each
    async def test_text_and_an_error_in_one_piece(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """The figures hold what came with the error, though nobody heard it."""
        error_event = b'data: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
        hostile.events(first_events(name) + delta_event(name, "abc") + error_event)
        ear = Ear()
        error = await failure_of(make(name, hostile.url(name)), call(name), ear.listener)
        assert (error.failure, error.may_have_billed, ear.calls) == (Failure.OVERLOADED, True, [])
        assert ear.listener.output_bytes == 3
        assert (ear.listener.usage is not None) == KINDS[name].early

    @each
    async def test_the_limit_is_for_each_wait(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """A provider that trickles is heard to its end; the same as a plain call would be too slow."""
        provider = make(name, simulated.url(name))
        await provider.complete(call(name))
        simulated.behave(name, Behaviour(reply="abcdefgh", chunks=8, chunk_delay_s=0.2))
        ear = Ear()
        answer = await provider.complete(call(name, timeout_s=1.0), ear.listener)
        assert (answer.content, len(ear.calls)) == ("abcdefgh", 8)

    @each
    async def test_too_large(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """An answer beyond the bound is given up, and so is an event that does not end."""
        provider = make(name, hostile.url(name))
        for endless in (delta_event(name, "x" * 900) * 64, b"data: " + b"x" * 65536):
            hostile.events(first_events(name))
            hostile.endless, hostile.sent = endless, 0
            ear = Ear()
            error = await failure_of(provider, call(name), ear.listener)
            assert (error.failure, error.may_have_billed) == (Failure.MALFORMED, True)
            assert len(ear.text) <= MEGABYTE
            await assert_eventually_async(lambda: hostile.left)


class TestMany:
    @each
    async def test_fifty_at_once(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """Streams side by side do not mix."""
        simulated.behave(name, Behaviour(chunks=20, chunk_delay_s=0.001))
        provider = make(name, simulated.url(name))
        ears = [Ear() for _ in range(50)]
        answers = await asyncio.gather(
            *(provider.complete(call(name, f"I am {n}"), ear.listener) for n, ear in enumerate(ears))
        )
        assert [answer.content[-len(f"I am {n}") :] for n, answer in enumerate(answers)] == [
            f"I am {n}" for n in range(50)
        ]
        assert [ear.text for ear in ears] == [answer.content for answer in answers]
