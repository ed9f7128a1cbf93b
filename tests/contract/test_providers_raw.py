"""A vendor's own body through a provider: sent as it is, answered with the vendor's own bytes, which are read too."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cortexd.domain.messages import Call
from cortexd.domain.raw import RawCall
from cortexd.errors import Failure, ProviderError
from simulated import Behaviour, SimulatedProviders
from tests.contract.conftest import HostileServer, MakeProvider, call
from tests.contract.kinds import KINDS, Json, each, framed
from tests.contract.test_providers_streams import Ear, comparable

BODIES: dict[str, dict[str, Any]] = {
    "claude": {"max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]},
    "kimi_k2": {"max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]},
    "openai": {"max_output_tokens": 100, "input": "hello"},
}


def raw_call(name: str, *, stream: bool = False, **more: Any) -> Call:
    body = {"model": KINDS[name].model, **BODIES[name], **({"stream": True} if stream else {})}
    if stream and KINDS[name].api == "openai":
        body["stream_options"] = {"include_usage": True}
    return call(name, raw=RawCall(json.dumps(body).encode(), streamed=stream, **more))


def heard(ear: Ear) -> bytes:
    """All that was told, which is bytes alone."""
    deltas = [delta for deltas in ear.calls for delta in deltas]
    assert all(isinstance(delta, bytes) for delta in deltas)
    return b"".join(delta for delta in deltas if isinstance(delta, bytes))


def stream_of(name: str, *texts: str) -> tuple[bytes, ...]:
    """The events of a whole stream."""
    kind = KINDS[name]
    return tuple(framed(event) for event in (*kind.first, *map(kind.delta, texts), *kind.last))


class TestWhole:
    @each
    async def test_it_means_what_a_plain_call_means(
        self, name: str, simulated: SimulatedProviders, make: MakeProvider
    ) -> None:
        """Text, usage and reason are those of the structured call; its bytes are JSON that says the text."""
        simulated.behave(name, Behaviour(reply="Well said.", input_tokens=7, output_tokens=5))
        provider = make(name, simulated.url(name))
        raw, plain = await provider.complete(raw_call(name)), await provider.complete(call(name))
        assert raw.raw is not None
        assert "Well said." in json.dumps(json.loads(raw.raw))
        assert (raw.content, raw.usage, raw.finish_reason) == (plain.content, plain.usage, plain.finish_reason)

    @each
    async def test_body_and_headers_leave_as_they_are(
        self, name: str, hostile: HostileServer, make: MakeProvider
    ) -> None:
        """Not a byte of the body changes, nor of the answer; the key is the endpoint's."""
        body = b'{ "model":"m","odd" : 1.0e2,"text":"\\u00e9" }'
        hostile.json(KINDS[name].reply("hello ") + "\n ")
        made = call(name, raw=RawCall(body, headers={"anthropic-beta": "one,two"}))
        answer = await make(name, hostile.url(name)).complete(made)
        head, _, sent = hostile.requests[0].partition(b"\r\n\r\n")
        assert sent == body
        assert b"anthropic-beta: one,two" in head.lower()
        assert b"sk-sim-" in head
        assert answer.raw == KINDS[name].reply("hello ").encode() + b"\n "

    @each
    async def test_a_refused_body_is_refused(
        self, name: str, simulated: SimulatedProviders, make: MakeProvider
    ) -> None:
        """Nothing of it is taken out to ask again, whatever is known of the model."""
        simulated.behave(name, Behaviour(refused_fields=("temperature",)))
        made = raw_call(name)
        assert made.raw is not None
        body = json.dumps({**json.loads(made.raw.content), "temperature": 0.5}).encode()
        with pytest.raises(ProviderError) as raised:
            await make(name, simulated.url(name)).complete(call(name, raw=RawCall(body)))
        assert raised.value.failure is Failure.REFUSED
        assert simulated.counts(name).requests == 1

    @each
    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_refused_body_is_translated_where_it_can_be(
        self, name: str, stream: bool, simulated: SimulatedProviders, make: MakeProvider
    ) -> None:
        """Servers that speak one API differ in what they take: the same is asked in words that suit the model."""
        simulated.behave(name, Behaviour(reply="Well said.", refused_fields=("odd",)))
        made = raw_call(name, stream=stream, translatable=True)
        assert made.raw is not None
        body = json.dumps({**json.loads(made.raw.content), "odd": 1}).encode()
        answer = await make(name, simulated.url(name)).complete(replace(made, raw=replace(made.raw, content=body)))
        assert (answer.content, answer.raw, simulated.counts(name).requests) == ("Well said.", None, 2)

    @each
    async def test_what_is_no_unicode_is_no_answer(self, name: str, hostile: HostileServer, make: MakeProvider) -> None:
        """A body that no text can hold is malformed."""
        hostile.json(KINDS[name].reply("gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n").encode("latin-1", "replace")[:-1]
                     + b',"more":"\xff"}')  # fmt: skip
        with pytest.raises(ProviderError) as raised:
            await make(name, hostile.url(name)).complete(raw_call(name))
        assert raised.value.failure is Failure.MALFORMED

    @each
    async def test_a_stream_in_its_place_is_read(self, name: str, hostile: HostileServer, make: MakeProvider) -> None:
        """An answer in another form than was asked for counts, and has no bytes that could be told."""
        hostile.events(*stream_of(name, "hello"))
        answer = await make(name, hostile.url(name)).complete(raw_call(name))
        assert (answer.content, answer.raw) == ("hello", None)


def _chunk(delta: Json, finish: str | None = None) -> Json:
    return {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


OWN_ALONE: dict[str, tuple[Json, tuple[Json | str, ...]]] = {
    "claude": (
        {
            **KINDS["claude"].whole("x"),
            "content": [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}],
            "stop_reason": "pause_turn",
        },
        (
            KINDS["claude"].first[0],
            {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use", "id": "s"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
            {"type": "message_delta", "delta": {"stop_reason": "pause_turn"}},
            {"type": "message_stop"},
        ),
    ),
    "kimi_k2": (
        {
            **KINDS["kimi_k2"].whole("x"),
            "choices": [{"message": {"content": None, "audio": {"id": "a", "data": "AA"}}, "finish_reason": "stop"}],
        },
        (_chunk({"audio": {"id": "a"}}), _chunk({}, "stop"), "[DONE]"),
    ),
    "openai": (
        {**KINDS["openai"].whole("x"), "output": [{"type": "custom_tool_call", "name": "patch", "input": "*** x"}]},
        (
            *KINDS["openai"].first,
            {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "*** x"},
            *KINDS["openai"].last,
        ),
    ),
}
"""Answers in which nothing has words here: whole, and as events."""


class TestOwnAlone:
    @each
    async def test_it_is_an_answer(self, name: str, hostile: HostileServer, make: MakeProvider) -> None:
        """A program that speaks the API knows what to do with it, and it is paid for."""
        body = json.dumps({**OWN_ALONE[name][0], "usage": KINDS[name].usage(7, 5)})
        hostile.json(body)
        answer = await make(name, hostile.url(name)).complete(raw_call(name))
        assert (answer.raw, answer.content) == (body.encode(), "")
        assert answer.usage is not None
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 5)
        hostile.json(body)
        with pytest.raises(ProviderError):
            await make(name, hostile.url(name)).complete(call(name))

    @each
    async def test_so_is_a_stream(self, name: str, hostile: HostileServer, make: MakeProvider) -> None:
        """All its bytes are told."""
        whole = framed(*OWN_ALONE[name][1])
        hostile.events(whole)
        ear = Ear()
        answer = await make(name, hostile.url(name)).complete(raw_call(name, stream=True), ear.listener)
        assert (heard(ear), answer.content, ear.listener.grown_at is None) == (whole, "", False)


class TestStream:
    @each
    async def test_every_byte_is_told(self, name: str, hostile: HostileServer, make: MakeProvider) -> None:
        """However the packets fall, the events come whole and in order, comments and unknown ones too."""
        events = stream_of(name, "one ", "two")
        whole = b": hello\n\n" + events[0] + b'event: odd\ndata: {"type": "odd"}\n\n' + b"".join(events[1:])
        for size in (7, 64, len(whole)):
            hostile.events(*(whole[at : at + size] for at in range(0, len(whole), size)))
            ear = Ear()
            answer = await make(name, hostile.url(name)).complete(raw_call(name, stream=True, keeps=True), ear.listener)
            assert (heard(ear), answer.raw, answer.content) == (whole, whole, "one two")
            assert all(told[-1].endswith(b"\n\n") for told in ear.calls if isinstance(told[-1], bytes))

    @each
    async def test_figures_are_those_of_a_structured_stream(
        self, name: str, simulated: SimulatedProviders, make: MakeProvider
    ) -> None:
        """Text, usage, tool calls and first word are read from the bytes that pass."""
        simulated.behave(name, Behaviour(reply="word " * 50, chunks=20, tool_calls=(("look", '{"a": 1}'),)))
        provider, ear, plain = make(name, simulated.url(name)), Ear(), Ear()
        raw = await provider.complete(raw_call(name, stream=True), ear.listener)
        structured = await provider.complete(call(name), plain.listener)
        assert comparable(raw) == comparable(structured)
        assert (raw.raw, ear.listener.usage) == (None, raw.usage)
        assert (ear.listener.output_bytes, ear.listener.first_at) != (0, None)

    async def test_what_was_not_asked_for_is_not_told(self, hostile: HostileServer, make: MakeProvider) -> None:
        """A last chunk of usage alone, which the program did not want, is read and kept back."""
        usage = framed({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
        before, last = b"".join(stream_of("kimi_k2", "hi")[:-1]), framed("[DONE]")
        hostile.events(before + usage + last)
        more = {"counted": lambda: b'{"counted":true}', "unasked": lambda data: b'"usage"' in data}
        made = raw_call("kimi_k2", stream=True, keeps=True, **more)
        ear = Ear()
        answer = await make("kimi_k2", hostile.url("kimi_k2")).complete(made, ear.listener)
        assert (heard(ear), answer.raw) == (before + last, before + last)
        assert answer.usage is not None
        assert hostile.requests[-1].endswith(b'{"counted":true}')

    async def test_who_does_not_take_the_question_gets_the_body_alone(
        self, simulated: SimulatedProviders, make: MakeProvider
    ) -> None:
        """An endpoint that refuses what cortexd asked beside the body is asked without it, and its answer counts."""
        simulated.behave("kimi_k2", Behaviour(refused_fields=("stream_options",)))
        plain = json.dumps({**BODIES["kimi_k2"], "model": KINDS["kimi_k2"].model, "stream": True}).encode()
        counted = raw_call("kimi_k2", stream=True).raw
        assert counted is not None
        made = call("kimi_k2", raw=RawCall(plain, streamed=True, counted=lambda: counted.content))
        ear = Ear()
        answer = await make("kimi_k2", simulated.url("kimi_k2")).complete(made, ear.listener)
        assert (answer.content.endswith("hello"), heard(ear).endswith(framed("[DONE]"))) == (True, True)
        assert simulated.counts("kimi_k2").requests == 2

    @each
    @pytest.mark.parametrize("spoilt", [lambda rest: rest[:-2], lambda rest: framed({"error": {"message": "broken"}})])
    async def test_nothing_of_a_broken_end_is_told(
        self, name: str, spoilt: Callable[[bytes], bytes], hostile: HostileServer, make: MakeProvider
    ) -> None:
        """A stream that breaks off or turns into an error fails the attempt; told is what came before it, whole."""
        events = stream_of(name, "one ", "two ")
        begun = b"".join(events[: len(KINDS[name].first) + 1])
        hostile.events(begun, spoilt(events[len(KINDS[name].first) + 1]))
        ear = Ear()
        with pytest.raises(ProviderError):
            await make(name, hostile.url(name)).complete(raw_call(name, stream=True), ear.listener)
        assert heard(ear) == begun

    @each
    async def test_an_endless_event_is_bounded(self, name: str, hostile: HostileServer, make: MakeProvider) -> None:
        """Comments without a blank line cannot make it hold what it likes."""
        hostile.events(b"".join(stream_of(name, "hi")[: len(KINDS[name].first) + 1]))
        hostile.endless = b": nothing\n" * 1000
        with pytest.raises(ProviderError) as raised:
            await make(name, hostile.url(name)).complete(raw_call(name, stream=True), Ear().listener)
        assert raised.value.failure is Failure.MALFORMED

    @each
    async def test_a_whole_answer_in_its_place_is_told_as_text(
        self, name: str, hostile: HostileServer, make: MakeProvider
    ) -> None:
        """Servers that stream nothing answer all the same; whoever hears it puts it into the form."""
        hostile.json(KINDS[name].reply("hello"))
        ear = Ear()
        answer = await make(name, hostile.url(name)).complete(raw_call(name, stream=True), ear.listener)
        assert (ear.text, answer.raw) == ("hello", None)
