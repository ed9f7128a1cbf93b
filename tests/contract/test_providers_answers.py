"""What a caller gets back from Claude and Kimi through the real SDKs: text, tools, usage, dropped options."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace

import pytest

from cortexd.domain.messages import ImagePart, Message, Role, TextPart, Tool, ToolCall, Usage
from cortexd.domain.quirks import Quirk
from cortexd.errors import Failure, ProviderError
from simulated import Behaviour, SimulatedProviders
from tests.contract.conftest import HostileServer, MakeProvider, call
from tests.contract.kinds import KINDS, each

WEATHER = Tool(
    "weather", "The weather.", '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}'
)
SCHEMA = '{"type":"object","properties":{"age":{"type":"integer","minimum":3}},"required":["age"]}'
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class TestText:
    @each
    async def test_an_answer_with_its_usage(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """The text, the model and the tokens are the provider's, and the provider counts one billed request."""
        answer = await make(name, simulated.url(name)).complete(call(name))
        assert answer.content == f"[{answer.model}] You said: hello"
        assert answer.finish_reason == "stop"
        billed = simulated.billed(name)
        assert billed.requests == 1
        assert answer.usage == Usage(billed.tokens.prompt, billed.tokens.output)

    @each
    async def test_all_system_messages_arrive(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """System messages at the start, in the middle and at the end all reach the provider."""
        messages = (
            Message(Role.SYSTEM, "first rule"),
            Message(Role.SYSTEM, "second rule"),
            Message(Role.USER, "one"),
            Message(Role.SYSTEM, "third rule"),
            Message(Role.ASSISTANT, "two"),
            Message(Role.USER, "three"),
            Message(Role.SYSTEM, "fourth rule"),
        )
        await make(name, simulated.url(name)).complete(call(name, messages=messages))
        sent = simulated.received(name)[0].body
        assert all(f"{count} rule" in sent for count in ("first", "second", "third", "fourth"))

    @each
    async def test_an_image_is_sent(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """A user's image reaches the provider as the vendor wants it and is billed."""
        content = (TextPart("what is this?"), ImagePart("image/png", PIXEL))
        await make(name, simulated.url(name)).complete(call(name, messages=(Message(Role.USER, content),)))
        assert simulated.billed(name).tokens.input > 1500

    @each
    async def test_what_is_long_arrives_whole(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A photo of 3 MB and a megabyte of text are written as they are sent, and announced with their length."""
        photo, text = PIXEL + bytes(range(256)) * 12_000, 'Ä"\n' * 300_000
        content = (TextPart(text), ImagePart("image/png", photo))
        hostile.json("{}", status="400 Bad Request")
        provider = make(name, hostile.url(name))
        for _ in range(2):  # over one connection
            with pytest.raises(ProviderError):
                await provider.complete(call(name, messages=(Message(Role.USER, content),)))
        for request in hostile.requests:
            head, _, body = request.partition(b"\r\n\r\n")
            assert b"transfer-encoding" not in head.lower()
            said, sent = KINDS[name].photo(json.loads(body))
            assert said == text
            assert base64.b64decode(sent) == photo

    @each
    async def test_the_length_limit_is_reported(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """An answer cut at max_tokens ends with the reason `length`."""
        answer = await make(name, simulated.url(name)).complete(call(name, "x" * 100, max_tokens=3))
        assert answer.finish_reason == "length"

    @each
    async def test_thinking_is_no_content(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """Thinking does not appear in the text, but its tokens are counted."""
        simulated.behave(name, Behaviour(reply="42", thinking="hmm", output_tokens=50, reasoning_tokens=20))
        answer = await make(name, simulated.url(name)).complete(call(name))
        assert (answer.content, answer.usage and answer.usage.reasoning_tokens) == ("42", 20)

    @each
    async def test_cache_figures_are_parts_of_the_whole_prompt(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """Both vendors' cache accounting comes out alike: input is the whole prompt, cached is a part of it."""
        written = 300 if name == "claude" else 0
        simulated.behave(
            name,
            Behaviour(input_tokens=100, cache_read_tokens=1000, cache_write_tokens=written, output_tokens=7),
        )
        answer = await make(name, simulated.url(name)).complete(call(name))
        assert answer.usage == Usage(1100 + written, 7, cached_tokens=1000, cache_write_tokens=written)

    @each
    async def test_no_usage_is_unknown(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """A provider that reports no usage gives an answer whose usage is unknown, not zero."""
        simulated.behave(name, Behaviour(usage_without=("*",)))
        answer = await make(name, simulated.url(name)).complete(call(name))
        assert answer.usage is None
        assert answer.content


class TestLongAnswers:
    @each
    async def test_a_long_answer_equals_the_plain_one(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """From an endpoint that gives no stream, though asked for one, text, thinking, tools and usage are the same."""
        behaviour = Behaviour(
            reply="Grüße, \N{ROCKET} and \u0000. " * 50,
            thinking="let me see",
            tool_calls=(("weather", '{"city": "Köln", "days": [1, 2.5]}'), ("weather", "{}")),
            input_tokens=40,
            cache_read_tokens=10,
            cache_write_tokens=5,
            output_tokens=90,
            reasoning_tokens=12,
        )
        provider = make(name, simulated.url(name))
        asked = call(name, tools=(WEATHER,), max_tokens=64_000)
        simulated.behave(name, replace(behaviour, ignores_stream=True))
        plain = await provider.complete(asked)
        simulated.behave(name, behaviour)
        streamed = await provider.complete(asked)
        assert [request.json()["stream"] for request in simulated.received(name)] == [True, True]
        ids = [
            [replace(tool_call, id="") for tool_call in answer.tool_calls] for answer in (plain, streamed)
        ]  # the provider numbers them anew for each answer
        assert ids[0] == ids[1] != []
        assert streamed.time_to_first_token_ms is not None
        assert replace(streamed, tool_calls=(), time_to_first_token_ms=None) == replace(plain, tool_calls=())

    @each
    async def test_a_stream_without_usage(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """A stream that reports no usage leaves it unknown."""
        simulated.behave(name, Behaviour(usage_without=("*",)))
        answer = await make(name, simulated.url(name)).complete(call(name, max_tokens=64_000))
        assert answer.usage is None


class TestTools:
    @each
    async def test_a_tool_round_trip(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """A tool call comes back with its arguments as JSON text; its result can be sent and is answered."""
        simulated.behave(name, Behaviour(times=1, auto_tool=True))
        provider = make(name, simulated.url(name))
        first = await provider.complete(call(name, tools=(WEATHER,)))
        assert first.finish_reason == "tool_calls"
        (wish,) = first.tool_calls
        assert (wish.name, json.loads(wish.arguments)) == ("weather", {"city": "sample"})
        history = (
            Message(Role.USER, "hello"),
            Message(Role.ASSISTANT, first.content, (wish,)),
            Message(Role.TOOL, "sunny", tool_call_id=wish.id),
        )
        second = await provider.complete(call(name, messages=history, tools=(WEATHER,)))
        assert second.finish_reason == "stop"

    @each
    async def test_several_results_and_a_question(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """Two tool results, with an id from another vendor, and a question after them are accepted by each."""
        wishes = (ToolCall("functions.weather:0", "weather", '{"city":"Köln"}'), ToolCall("b", "weather", ""))
        history = (
            Message(Role.USER, "hello"),
            Message(Role.ASSISTANT, "", wishes),
            Message(Role.TOOL, "sunny", tool_call_id="functions.weather:0"),
            Message(Role.TOOL, "", tool_call_id="b"),
            Message(Role.SYSTEM, "be brief"),
            Message(Role.USER, "and now?"),
        )
        answer = await make(name, simulated.url(name)).complete(call(name, messages=history, tools=(WEATHER,)))
        assert answer.content

    @each
    @pytest.mark.parametrize("choice", ["auto", "none", "required", "weather"])
    async def test_tool_choice_is_accepted(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, choice: str
    ) -> None:
        """Every tool choice is understood by each, and a forced one is followed."""
        answer = await make(name, simulated.url(name)).complete(call(name, tools=(WEATHER,), tool_choice=choice))
        assert bool(answer.tool_calls) is (choice in ("required", "weather"))

    async def test_a_model_that_always_thinks(self, simulated: SimulatedProviders, make: MakeProvider) -> None:
        """kimi-k2.7-code takes no forced tool: the option is left out and named."""
        forced = call("kimi_k2", model="kimi-k2.7-code", tools=(WEATHER,), tool_choice="required", temperature=0.3)
        answer = await make("kimi_k2", simulated.url("kimi_k2")).complete(forced)
        assert answer.dropped_options == ("temperature", "tool_choice")


class TestOptions:
    @each
    async def test_a_refused_temperature_is_left_out(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """Models that refuse a temperature answer without it, and the answer says that it was dropped."""
        if KINDS[name].cools:
            simulated.behave(name, Behaviour(refused_fields=("temperature",)))
        answer = await make(name, simulated.url(name)).complete(call(name, temperature=0.3))
        assert answer.dropped_options == ("temperature",)

    async def test_an_operator_knows_it(self, simulated: SimulatedProviders, vllm: str, make: MakeProvider) -> None:
        """What the settings say of an endpoint's models is so from the first request on."""
        simulated.behave("vllm", Behaviour(refused_fields=("temperature",)))
        provider = make("office", vllm, quirks=frozenset({Quirk.NO_TEMPERATURE}))
        answer = await provider.complete(call("kimi_k2", model="llama", temperature=0.3))
        assert answer.dropped_options == ("temperature",)
        assert len(simulated.received("vllm")) == 1

    async def test_other_endpoints_get_the_temperature(self, simulated: SimulatedProviders, make: MakeProvider) -> None:
        """An OpenAI-style endpoint that is not known to refuse a temperature gets it."""
        answer = await make("kimi_k2", simulated.url("vllm")).complete(call("kimi_k2", model="llama", temperature=0.3))
        assert simulated.received("vllm")[-1].json()["temperature"] == 0.3
        assert answer.dropped_options == ()

    async def test_an_endpoint_that_refuses_more(
        self, simulated: SimulatedProviders, vllm: str, make: MakeProvider
    ) -> None:
        """A parameter that only this endpoint refuses is left out at once, is named, and is not tried again; one that
        no answer can do without is the failure of the attempt."""
        simulated.behave("vllm", Behaviour(refused_fields=("temperature",)))
        provider = make("kimi_k2", vllm)
        for requests in (2, 3):
            answer = await provider.complete(call("kimi_k2", model="llama", temperature=0.3))
            assert answer.dropped_options == ("temperature",)
            assert len(simulated.received("vllm")) == requests
        simulated.behave("vllm", Behaviour(refused_fields=("messages",)))
        with pytest.raises(ProviderError) as failed:
            await provider.complete(call("kimi_k2", model="llama"))
        assert (failed.value.failure, failed.value.status) == (Failure.REFUSED, 400)
        assert len(simulated.received("vllm")) == requests + 1

    @each
    async def test_a_response_schema(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """The answer follows the schema; for Claude it is brought into the form that its API takes."""
        answer = await make(name, simulated.url(name)).complete(call(name, response_schema=SCHEMA))
        assert "age" in json.loads(answer.content)
        assert answer.dropped_options == (("response_schema.minimum",) if name == "claude" else ())

    async def test_a_schema_without_a_form_for_claude(self, simulated: SimulatedProviders, make: MakeProvider) -> None:
        """A schema that Claude's API cannot express is left out and named."""
        answer = await make("claude", simulated.url("claude")).complete(
            call("claude", response_schema='{"type":"object","properties":{"any":{}}}')
        )
        assert answer.dropped_options == ("response_schema",)


class TestConnections:
    @each
    async def test_connections_are_reused(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """Requests one after the other share one connection."""
        provider = make(name, simulated.url(name))
        for _ in range(5):
            await provider.complete(call(name))
        assert simulated.counts(name).open_connections == 1

    @each
    async def test_connections_are_bounded(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """No more than max_connections requests are on the wire at once; the others wait and are answered."""
        simulated.behave(name, Behaviour(delay_s=0.02))
        provider = make(name, simulated.url(name), max_connections=4)
        answers = await asyncio.gather(*(provider.complete(call(name)) for _ in range(20)))
        assert len(answers) == 20
        assert simulated.counts(name).max_concurrent <= 4
