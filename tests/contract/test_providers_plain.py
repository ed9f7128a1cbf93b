"""Answers that nobody hears grow: asked for as streams all the same, but of endpoints that would rather not."""

from __future__ import annotations

import asyncio

import pytest

from cortexd.domain.messages import Tool, Usage
from cortexd.errors import Failure, ProviderError
from cortexd.providers import EmptyAnswer, Listener
from cortexd.providers.collecting import MAX_REASONING_BYTES
from simulated import Behaviour, Fault, SimulatedProviders, StreamUsage
from tests.contract.conftest import HostileServer, MakeProvider, call, made_ready
from tests.contract.kinds import KINDS, each
from tests.contract.test_providers_streams import Ear, delta_event, first_events, last_events
from tests.eventually import assert_eventually_async

SCHEMA = '{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}'


def asked(simulated: SimulatedProviders, name: str) -> list[bool]:
    """Whether each request wanted a stream."""
    return [request.json().get("stream", False) for request in simulated.received(name)]


class TestLeaving:
    @each
    async def test_cancelling_ends_the_work_and_keeps_the_count(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """The connection closes at once, and what had come is known."""
        simulated.behave(name, Behaviour(reply="abc", chunks=3, fault=Fault.HANG_MID_BODY, cut_after=4))
        listener = Listener()
        attempt = asyncio.create_task(make(name, simulated.url(name)).complete(call(name), listener))
        await assert_eventually_async(lambda: listener.output_bytes > 0)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await assert_eventually_async(lambda: simulated.counts(name).client_aborts == 1, timeout=1)
        assert simulated.counts(name).open_connections == 0
        assert (listener.usage is not None) == KINDS[name].early
        assert listener.first_at is not None
        assert listener.grown_at is not None

    @each
    async def test_silence_and_slow_work(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """An answer takes as long as it likes while something comes; a silence as long as the limit is its end."""
        provider = make(name, simulated.url(name))
        await provider.complete(call(name))
        simulated.behave(name, Behaviour(reply="abcdefgh", chunks=8, chunk_delay_s=0.2))
        assert (await provider.complete(call(name, timeout_s=1.0))).content == "abcdefgh"
        simulated.behave(name, Behaviour(reply="abc", chunks=3, fault=Fault.HANG_MID_BODY, cut_after=4))
        with pytest.raises(ProviderError) as raised:
            await provider.complete(call(name, timeout_s=0.4))
        assert (raised.value.failure, raised.value.may_have_billed) == (Failure.TIMEOUT, True)


class TestRefusing:
    @pytest.mark.parametrize(("name", "field"), [*((name, "stream") for name in KINDS), ("kimi_k2", "stream_options")])
    async def test_is_asked_for_the_whole(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, field: str
    ) -> None:
        """At once, and from then on only so; what it counted is known."""
        simulated.behave(name, Behaviour(refused_fields=(field,)))
        provider = make(name, simulated.url(name))
        for _ in range(2):
            answer = await provider.complete(call(name))
            assert answer.usage is not None
        assert asked(simulated, name) == [True, False, False]

    @each
    async def test_whoever_hears_gets_it_in_one_piece(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """Where there is no stream to be had there is still an answer, a long one too."""
        simulated.behave(name, Behaviour(refused_fields=("stream",)))
        ear = Ear()
        answer = await make(name, simulated.url(name)).complete(call(name, max_tokens=30_000), ear.listener)
        assert [ear.text, len(ear.calls)] == [answer.content, 1]
        assert asked(simulated, name) == [True, False]

    async def test_stream_options_alone(self, simulated: SimulatedProviders, make: MakeProvider) -> None:
        """Whoever hears the answer grow still does, and nobody counts it."""
        simulated.behave("kimi_k2", Behaviour(refused_fields=("stream_options",), chunks=3))
        ear = Ear()
        answer = await make("kimi_k2", simulated.url("kimi_k2")).complete(call("kimi_k2"), ear.listener)
        assert (ear.text, answer.usage) == (answer.content, None)
        assert asked(simulated, "kimi_k2") == [True, True]

    async def test_what_does_not_go_with_streams(self, simulated: SimulatedProviders, make: MakeProvider) -> None:
        """The stream is given up and not the schema (Groq says so, langchain-ai/langchain#23629)."""
        refusal = Behaviour(times=1, status=400, error_message="response_format` does not support streaming")
        simulated.behave("kimi_k2", refusal, Behaviour(reply='{"a": 1}'))
        answer = await make("kimi_k2", simulated.url("kimi_k2")).complete(call("kimi_k2", response_schema=SCHEMA))
        assert (answer.content, answer.dropped_options) == ('{"a": 1}', ())
        assert [("response_format" in request.json()) for request in simulated.received("kimi_k2")] == [True, True]
        assert asked(simulated, "kimi_k2") == [True, False]

    @each
    async def test_a_bad_request_that_speaks_of_streams(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """It is tried once more, fails as it is, and takes streams from nobody who hears them."""
        simulated.behave(name, Behaviour(status=400, error_message="messages.0: a stream of nonsense"))
        provider = make(name, simulated.url(name))
        for listener in (None, Ear().listener):
            with pytest.raises(ProviderError) as raised:
                await provider.complete(call(name), listener)
            assert raised.value.failure is Failure.REFUSED
        assert asked(simulated, name) == [True, False, True]

    @pytest.mark.parametrize("local", [False, True])
    async def test_a_stream_without_usage(self, simulated: SimulatedProviders, make: MakeProvider, local: bool) -> None:
        """A hosted model is asked for the whole answer next time, which says it; a local one is not."""
        simulated.behave("kimi_k2", Behaviour(stream_usage=StreamUsage.NEVER))
        provider = make("kimi_k2", simulated.url("kimi_k2"), local=local)
        answers = [await provider.complete(call("kimi_k2")) for _ in range(2)]
        assert [answer.usage is not None for answer in answers] == [False, not local]
        assert asked(simulated, "kimi_k2") == [True, local]


class TestReasoning:
    @each
    @pytest.mark.parametrize("whole", [False, True])
    async def test_comes_with_the_answer(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, whole: bool
    ) -> None:
        """With characters whole and safe, heard by nobody; all of it or, where it is very long, nothing."""
        provider, ear = make(name, simulated.url(name)), Ear()
        for thinking, kept in (
            ("let me see \N{ROCKET}\u0000", "let me see \N{ROCKET}\ufffd"),
            ("a" * MAX_REASONING_BYTES, "a" * MAX_REASONING_BYTES),
            ("a" * (MAX_REASONING_BYTES + 1), ""),
        ):
            simulated.behave(name, Behaviour(thinking=thinking, ignores_stream=whole))
            for listener in (None, ear.listener):
                answer = await provider.complete(call(name), listener)
                assert (answer.reasoning, answer.content.endswith("You said: hello")) == (kept, True)
        assert "a" * 100 not in ear.text


class TestNothing:
    @each
    @pytest.mark.parametrize("whole", [False, True])
    async def test_an_empty_answer_has_its_usage(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, whole: bool
    ) -> None:
        """It is a failure, and what it costs is known; unless its figures cannot be."""
        behaviour = Behaviour(reply="", input_tokens=40, output_tokens=3, ignores_stream=whole)
        simulated.behave(name, behaviour)
        provider = make(name, simulated.url(name))
        with pytest.raises(EmptyAnswer) as raised:
            await provider.complete(call(name))
        assert (raised.value.failure, raised.value.usage) == (Failure.MALFORMED, Usage(40, 3))
        with pytest.raises(EmptyAnswer) as raised:
            await provider.complete(call(name, "no so many words are 40 tokens " * 100))
        assert (raised.value.may_have_billed, raised.value.usage) == (True, None)

    async def test_promised_tool_calls(self, hostile: HostileServer, make: MakeProvider) -> None:
        """The same of an answer without the calls that it speaks of."""
        hostile.events(
            b'data: {"choices":[{"delta":{"content":"hm"},"finish_reason":"tool_calls"}],'
            b'"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
        )
        with pytest.raises(EmptyAnswer) as raised:
            await make("kimi_k2", hostile.url("kimi_k2")).complete(call("kimi_k2", tools=(Tool("look"),)))
        assert raised.value.usage == Usage(5, 2)


class TestSilence:
    @each
    async def test_blank_lines_before_a_whole_answer(
        self, hostile: HostileServer, make: MakeProvider, name: str
    ) -> None:
        """However many keep the connection alive, they are no answer."""
        provider = await made_ready(make, name, hostile)
        hostile.reply = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
        hostile.pieces = (b"\n",) * 10_000
        with pytest.raises(ProviderError) as raised:
            await provider.complete(call(name, timeout_s=0.3))
        assert (raised.value.failure, raised.value.may_have_billed) == (Failure.TIMEOUT, True)
        await assert_eventually_async(lambda: hostile.left == 1)

    @each
    async def test_an_event_that_comes_slowly(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """Bytes of an event are no silence, however long it takes to be whole."""
        provider = await made_ready(make, name, hostile)
        body = first_events(name) + delta_event(name, "x" * 1000) + last_events(name)
        hostile.events(*(body[at : at + 1] for at in range(len(body))))  # a millisecond each, and more
        assert (await provider.complete(call(name, timeout_s=1.0))).content == "x" * 1000


class TestEnd:
    @pytest.mark.parametrize(("last", "connections"), [(b"0\r\n\r\n", 1), (b"", 2)])
    async def test_is_seen_before_it_is_read(
        self, hostile: HostileServer, make: MakeProvider, last: bytes, connections: int
    ) -> None:
        """Where the end came with the last event there is nothing to wait for, and the connection is used again."""
        body = first_events("kimi_k2") + delta_event("kimi_k2", "hello") + last_events("kimi_k2")
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream\r\n\r\n"
        hostile.reply = head + b"%x\r\n%s\r\n" % (len(body), body) + last
        provider = make("kimi_k2", hostile.url("kimi_k2"))
        for _ in range(2):
            assert (await provider.complete(call("kimi_k2"))).content == "hello"
        assert hostile.connections == connections
