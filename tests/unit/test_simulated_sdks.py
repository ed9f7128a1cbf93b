"""The vendors' own SDKs are content with the simulated providers: answers, tools, streams, usage."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import anthropic
import openai
import pytest

from simulated import Behaviour, SimulatedProviders, StreamUsage

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
HELLO: Any = [{"role": "user", "content": "hello"}]
CLAUDE: Any = {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": HELLO}
KIMI: Any = {"model": "kimi-k2.6", "messages": HELLO}
CLAUDE_TOOLS: Any = [{"name": "weather", "description": "The weather.", "input_schema": WEATHER}]
KIMI_TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]


@pytest.fixture
async def claude(simulated: SimulatedProviders) -> AsyncIterator[anthropic.AsyncAnthropic]:
    url = simulated.url("claude")
    async with anthropic.AsyncAnthropic(api_key="sk-sim-claude", base_url=url, max_retries=0) as client:
        yield client


@pytest.fixture
async def kimi(simulated: SimulatedProviders) -> AsyncIterator[openai.AsyncOpenAI]:
    url = simulated.url("kimi_k2")
    async with openai.AsyncOpenAI(api_key="sk-sim-kimi", base_url=url, max_retries=0) as client:
        yield client


@pytest.fixture
async def gpt(simulated: SimulatedProviders) -> AsyncIterator[openai.AsyncOpenAI]:
    url = simulated.url("openai")
    async with openai.AsyncOpenAI(api_key="sk-sim-openai", base_url=url, max_retries=0) as client:
        yield client


async def claude_events(client: anthropic.AsyncAnthropic, **fields: Any) -> list[Any]:
    return [event async for event in await client.messages.create(**{**CLAUDE, **fields}, stream=True)]


async def kimi_chunks(client: openai.AsyncOpenAI, **fields: Any) -> list[Any]:
    options = {"stream_options": {"include_usage": True}, **fields}
    return [chunk async for chunk in await client.chat.completions.create(**{**KIMI, **options}, stream=True)]


def claude_text(events: list[Any]) -> str:
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    return "".join(delta.text for delta in deltas if delta.type == "text_delta")


def kimi_text(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


class TestAnthropicAnswers:
    async def test_echo(self, claude: anthropic.AsyncAnthropic) -> None:
        """The answer names the model, echoes the text, and says usage."""
        message = await claude.messages.create(**CLAUDE)
        assert message.content[0].text == "[claude-sonnet-5-5] You said: hello"
        assert (message.role, message.stop_reason, message.model) == ("assistant", "end_turn", "claude-sonnet-5-5")
        assert (message.usage.input_tokens, message.usage.output_tokens) == (2, 9)

    async def test_cache_figures_are_apart_from_input(
        self, simulated: SimulatedProviders, claude: anthropic.AsyncAnthropic
    ) -> None:
        """input_tokens excludes cache reads and writes."""
        tokens = {"input_tokens": 10, "output_tokens": 20, "cache_read_tokens": 300, "cache_write_tokens": 40}
        simulated.behave("claude", Behaviour.from_json({**tokens, "reasoning_tokens": 5}))
        usage = (await claude.messages.create(**CLAUDE)).usage
        assert (usage.input_tokens, usage.output_tokens) == (10, 20)
        assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (300, 40)
        assert usage.output_tokens_details
        assert usage.output_tokens_details.thinking_tokens == 5

    async def test_tool_loop(self, simulated: SimulatedProviders, claude: anthropic.AsyncAnthropic) -> None:
        """A tool call made from the schema can be answered, and the next answer echoes the result."""
        simulated.behave("claude", Behaviour(auto_tool=True, times=1))
        call = await claude.messages.create(**CLAUDE, tools=CLAUDE_TOOLS)
        block = call.content[0]
        assert (call.stop_reason, block.name, block.input) == ("tool_use", "weather", {"city": "sample", "unit": "C"})
        result: Any = {"type": "tool_result", "tool_use_id": block.id, "content": "sunny"}
        turns = [*HELLO, {"role": "assistant", "content": call.content}, {"role": "user", "content": [result]}]
        final = await claude.messages.create(**{**CLAUDE, "messages": turns}, tools=CLAUDE_TOOLS)
        assert final.content[0].text == "[claude-sonnet-5-5] You said: sunny"

    async def test_forced_tool(self, claude: anthropic.AsyncAnthropic) -> None:
        """tool_choice forces a call without any behaviour set."""
        message = await claude.messages.create(**CLAUDE, tools=CLAUDE_TOOLS, tool_choice={"type": "any"})
        assert [block.type for block in message.content] == ["tool_use"]

    async def test_structured_output(self, claude: anthropic.AsyncAnthropic) -> None:
        """An output schema gets JSON that fits it."""
        output: Any = {"format": {"type": "json_schema", "schema": WEATHER}}
        message = await claude.messages.create(**CLAUDE, output_config=output)
        assert json.loads(message.content[0].text) == {"city": "sample", "unit": "C"}

    async def test_limits_end_the_answer(self, claude: anthropic.AsyncAnthropic) -> None:
        """max_tokens and stop sequences cut the answer and are named as the reason."""
        short = await claude.messages.create(**{**CLAUDE, "max_tokens": 3})
        assert (short.stop_reason, short.usage.output_tokens, short.content[0].text) == (
            "max_tokens",
            3,
            "[claude-sonn",
        )
        stopped = await claude.messages.create(**CLAUDE, stop_sequences=["said"])
        assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "said")
        assert stopped.content[0].text == "[claude-sonnet-5-5] You "

    async def test_thinking_goes_back_only_to_its_model(
        self, simulated: SimulatedProviders, claude: anthropic.AsyncAnthropic
    ) -> None:
        """A thinking block is taken back by the model that made it and refused by another."""
        simulated.behave("claude", Behaviour(thinking="Let me see.", times=1))
        first = await claude.messages.create(**CLAUDE)
        assert [block.type for block in first.content] == ["thinking", "text"]
        turns = [*HELLO, {"role": "assistant", "content": first.content}, *HELLO]
        assert await claude.messages.create(**{**CLAUDE, "messages": turns})
        with pytest.raises(anthropic.BadRequestError, match="signature"):
            await claude.messages.create(**{**CLAUDE, "model": "claude-opus-5-5", "messages": turns})

    async def test_stream(self, simulated: SimulatedProviders, claude: anthropic.AsyncAnthropic) -> None:
        """A stream has the wished number of chunks, the same text, and usage at both ends."""
        simulated.behave("claude", Behaviour(chunks=7, thinking="Hm."))
        events = await claude_events(claude)
        assert claude_text(events) == "[claude-sonnet-5-5] You said: hello"
        texts = [e for e in events if e.type == "content_block_delta" and e.delta.type == "text_delta"]
        assert len(texts) == 7
        assert events[0].message.usage.input_tokens == 2
        assert (events[-2].delta.stop_reason, events[-2].usage.output_tokens) == ("end_turn", 10)
        kinds = {event.delta.type for event in events if event.type == "content_block_delta"}
        assert kinds == {"thinking_delta", "signature_delta", "text_delta"}

    async def test_streamed_tool_call(self, simulated: SimulatedProviders, claude: anthropic.AsyncAnthropic) -> None:
        """The SDK's own accumulator puts a streamed tool call together."""
        arguments = json.dumps({"city": "R" * 100, "unit": "C"})
        simulated.behave("claude", Behaviour(reply="Looking.", tool_calls=(("weather", arguments),)))
        async with claude.messages.stream(**CLAUDE, tools=CLAUDE_TOOLS) as stream:
            message = await stream.get_final_message()
        assert [block.type for block in message.content] == ["text", "tool_use"]
        called = message.content[1]
        assert called.type == "tool_use"
        assert called.input == json.loads(arguments)


class TestOpenAIAnswers:
    async def test_echo(self, kimi: openai.AsyncOpenAI) -> None:
        """The answer names the model, echoes the text, and says usage."""
        completion = await kimi.chat.completions.create(**KIMI)
        choice = completion.choices[0]
        assert (choice.message.content, choice.finish_reason) == ("[kimi-k2.6] You said: hello", "stop")
        assert completion.usage
        assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (2, 7)

    async def test_cache_figures_are_part_of_the_prompt(
        self, simulated: SimulatedProviders, kimi: openai.AsyncOpenAI
    ) -> None:
        """prompt_tokens includes cached tokens, completion_tokens includes reasoning."""
        tokens = {"input_tokens": 10, "output_tokens": 20, "cache_read_tokens": 300, "reasoning_tokens": 5}
        simulated.behave("kimi_k2", Behaviour.from_json(tokens))
        usage = (await kimi.chat.completions.create(**KIMI)).usage
        assert usage
        assert usage.prompt_tokens_details
        assert usage.completion_tokens_details
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (310, 20, 330)
        assert (usage.prompt_tokens_details.cached_tokens, usage.completion_tokens_details.reasoning_tokens) == (300, 5)

    async def test_tool_loop(self, simulated: SimulatedProviders, kimi: openai.AsyncOpenAI) -> None:
        """Two tool calls can be answered, and the next answer echoes the last result."""
        calls = (("weather", '{"city":"Rome","unit":"C"}'), ("weather", "not json"))
        simulated.behave("kimi_k2", Behaviour(tool_calls=calls, thinking="Two.", times=1))
        first = (await kimi.chat.completions.create(**KIMI, tools=KIMI_TOOLS)).choices[0]
        assert first.finish_reason == "tool_calls"
        assert [(c.function.name, c.function.arguments) for c in first.message.tool_calls or ()] == list(calls)
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": f"result {n}"}
            for n, call in enumerate(first.message.tool_calls or ())
        ]
        turns = [*HELLO, first.message.model_dump(exclude_none=True), *results]
        final = await kimi.chat.completions.create(**{**KIMI, "messages": turns}, tools=KIMI_TOOLS)
        assert final.choices[0].message.content == "[kimi-k2.6] You said: result 1"

    async def test_structured_output(self, kimi: openai.AsyncOpenAI) -> None:
        """A JSON schema gets JSON that fits it."""
        wanted: Any = {"type": "json_schema", "json_schema": {"name": "w", "strict": True, "schema": WEATHER}}
        completion = await kimi.chat.completions.create(**KIMI, response_format=wanted)
        assert json.loads(completion.choices[0].message.content or "") == {"city": "sample", "unit": "C"}

    @pytest.mark.parametrize("place", StreamUsage)
    async def test_stream_usage(
        self, simulated: SimulatedProviders, kimi: openai.AsyncOpenAI, place: StreamUsage
    ) -> None:
        """Usage comes where the behaviour puts it, and the text is the same."""
        simulated.behave("kimi_k2", Behaviour(stream_usage=place, chunks=4))
        chunks = await kimi_chunks(kimi)
        assert kimi_text(chunks) == "[kimi-k2.6] You said: hello"
        said = [(bool(chunk.choices), chunk.usage.completion_tokens) for chunk in chunks if chunk.usage]
        inside = [
            c.choices[0].model_extra["usage"] for c in chunks if c.choices and "usage" in c.choices[0].model_extra
        ]
        assert (
            said
            == {
                StreamUsage.OWN_CHUNK: [(False, 7)],
                StreamUsage.LAST_CHOICE: [(True, 7)],
                StreamUsage.EVERY_CHUNK: [(True, 2), (True, 4), (True, 6), (True, 7), (True, 7)],
                StreamUsage.INSIDE_CHOICE: [],
                StreamUsage.NEVER: [],
                StreamUsage.EMPTY_CHOICE: [(True, 7)],
            }[place]
        )
        assert [usage["total_tokens"] for usage in inside] == ([9] if place is StreamUsage.INSIDE_CHOICE else [])

    async def test_usage_only_when_asked_for(self, kimi: openai.AsyncOpenAI) -> None:
        """Without stream_options no chunk says usage."""
        chunks = await kimi_chunks(kimi, stream_options=None)
        assert not any(chunk.usage for chunk in chunks)

    async def test_streamed_tool_call(self, simulated: SimulatedProviders, kimi: openai.AsyncOpenAI) -> None:
        """The pieces of streamed arguments make the whole."""
        arguments = json.dumps({"city": "R" * 100, "unit": "C"})
        simulated.behave("kimi_k2", Behaviour(tool_calls=(("weather", arguments),), thinking="Hm."))
        deltas = [c.choices[0].delta for c in await kimi_chunks(kimi, tools=KIMI_TOOLS) if c.choices]
        pieces = [delta.tool_calls[0].function for delta in deltas if delta.tool_calls]
        assert (pieces[0].name, "".join(piece.arguments for piece in pieces)) == ("weather", arguments)
        assert "".join(delta.model_extra.get("reasoning_content", "") for delta in deltas) == "Hm."


class TestResponses:
    ASKED: ClassVar[dict[str, Any]] = {"model": "gpt-5.4", "input": "hello"}
    TOOLS: ClassVar[list[Any]] = [{"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}]

    async def test_echo(self, gpt: openai.AsyncOpenAI) -> None:
        """The answer names the model, echoes the text, and says usage."""
        response = await gpt.responses.create(**self.ASKED)
        assert (response.output_text, response.status) == ("[gpt-5.4] You said: hello", "completed")
        assert response.usage
        assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (2, 7, 9)

    async def test_tool_loop(self, simulated: SimulatedProviders, gpt: openai.AsyncOpenAI) -> None:
        """A tool call can be answered, and the next answer echoes the result."""
        simulated.behave("openai", Behaviour(auto_tool=True, thinking="Hm.", times=1))
        first = await gpt.responses.create(**self.ASKED, tools=self.TOOLS)
        call = first.output[-1]
        assert call.type == "function_call"
        assert json.loads(call.arguments) == {"city": "sample", "unit": "C"}
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        turns: Any = [*HELLO, *(item.model_dump(exclude_none=True) for item in first.output), result]
        final = await gpt.responses.create(**{**self.ASKED, "input": turns}, tools=self.TOOLS)
        assert final.output_text == "[gpt-5.4] You said: sunny"

    async def test_streamed(self, simulated: SimulatedProviders, gpt: openai.AsyncOpenAI) -> None:
        """The SDK's own accumulator puts a stream together, and its events are numbered."""
        arguments = json.dumps({"city": "R" * 100, "unit": "C"})
        simulated.behave("openai", Behaviour(reply="Looking.", thinking="Hm.", tool_calls=(("weather", arguments),)))
        async with gpt.responses.stream(**self.ASKED, tools=self.TOOLS) as stream:
            numbers = [event.sequence_number async for event in stream]
            response = await stream.get_final_response()
        assert numbers == list(range(len(numbers)))
        assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
        call = response.output[2]
        assert call.type == "function_call"
        assert (response.output_text, call.arguments) == ("Looking.", arguments)

    async def test_a_limit_ends_the_answer(self, gpt: openai.AsyncOpenAI) -> None:
        """As incomplete, with the reason."""
        response = await gpt.responses.create(**{**self.ASKED, "input": "x" * 100}, max_output_tokens=16)
        assert response.incomplete_details
        assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")

    @pytest.mark.parametrize(
        ("fields", "param", "words"),
        [
            ({"max_output_tokens": 15}, "max_output_tokens", "Expected a value >= 16, but got 15"),
            ({"extra_body": {"no_such_field": 1}}, "no_such_field", "Unknown parameter: 'no_such_field'"),
            ({"input": []}, "input", "at least 1"),
            ({"tools": [{**TOOLS[0], "parameters": {"type": "object", "properties": {}}}]}, "tools", "additionalProp"),
            ({"tool_choice": {"type": "function", "name": "weather"}}, "tool_choice", "not found in 'tools'"),
            (
                {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
                "input",
                "No tool output found for function call c.",
            ),
            (
                {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
                "input",
                "No tool call found for function call output with call_id c.",
            ),
        ],
    )
    async def test_refusals(self, gpt: openai.AsyncOpenAI, fields: dict[str, Any], param: str, words: str) -> None:
        """What the API would refuse, in its words."""
        with pytest.raises(openai.BadRequestError, match=re.escape(words)) as caught:
            await gpt.responses.create(**{**self.ASKED, **fields})
        assert str(caught.value.param).startswith(param)

    async def test_an_unknown_model(self, simulated: SimulatedProviders, gpt: openai.AsyncOpenAI) -> None:
        """Is a bad request, unlike at chat completions."""
        simulated.behave("openai", Behaviour(models=("other",)))
        with pytest.raises(openai.BadRequestError) as caught:
            await gpt.responses.create(**self.ASKED)
        assert caught.value.code == "model_not_found"


class TestAbsurdAnswers:
    @pytest.mark.parametrize("text", ["\u0000", "a\ud800b", "\uffff", "\udfff\u0001"])
    async def test_text_tool_and_model(
        self,
        simulated: SimulatedProviders,
        claude: anthropic.AsyncAnthropic,
        kimi: openai.AsyncOpenAI,
        text: str,
    ) -> None:
        """Any character that a JSON escape can say arrives in text, tool name and model id."""
        absurd = Behaviour(reply=text, model=text, tool_calls=((text, "{}"),))
        simulated.behave("claude", absurd)
        simulated.behave("kimi_k2", absurd)
        message = await claude.messages.create(**CLAUDE)
        assert (message.content[0].text, message.content[1].name, message.model) == (text, text, text)
        completion = await kimi.chat.completions.create(**KIMI)
        said = completion.choices[0].message
        [called] = said.tool_calls or []
        assert called.type == "function"
        assert (said.content, called.function.name, completion.model) == (text, text, text)
        assert kimi_text(await kimi_chunks(kimi)) == text
        assert claude_text(await claude_events(claude)) == text

    async def test_error_message(self, simulated: SimulatedProviders, claude: anthropic.AsyncAnthropic) -> None:
        """An error's words may be as absurd."""
        simulated.behave("claude", Behaviour(status=500, error_message="\u0000\ud800", error_type="weird"))
        with pytest.raises(anthropic.InternalServerError) as caught:
            await claude.messages.create(**CLAUDE)
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["error"] == {"type": "weird", "message": "\u0000\ud800"}

    async def test_raw_content(
        self, simulated: SimulatedProviders, claude: anthropic.AsyncAnthropic, kimi: openai.AsyncOpenAI
    ) -> None:
        """Raw JSON can stand in place of the content, whatever it is."""
        simulated.behave("claude", Behaviour(content_json='[{"type":"text","text":"\\u0000"},{"type":"odd"},7]'))
        simulated.behave("kimi_k2", Behaviour(content_json='{"role":"assistant","content":["odd"]}'))
        raw = await claude.messages.with_raw_response.create(**CLAUDE)
        assert json.loads(await raw.read())["content"] == [{"type": "text", "text": "\u0000"}, {"type": "odd"}, 7]
        other = await kimi.chat.completions.with_raw_response.create(**KIMI)
        assert json.loads(other.content)["choices"][0]["message"]["content"] == ["odd"]

    @pytest.mark.parametrize("figure", [-1, 2**40, 2**70, "many", None, 1.5, [1], float("inf")])
    async def test_usage(self, simulated: SimulatedProviders, kimi: openai.AsyncOpenAI, figure: Any) -> None:
        """A usage field may say anything; what is billed stays the true figure."""
        simulated.behave("kimi_k2", Behaviour(usage={"prompt_tokens": figure}))
        raw = await kimi.chat.completions.with_raw_response.create(**KIMI)
        assert json.loads(raw.content)["usage"]["prompt_tokens"] == figure
        assert simulated.billed("kimi_k2").tokens.prompt == 2

    async def test_usage_not_a_number(self, simulated: SimulatedProviders, claude: anthropic.AsyncAnthropic) -> None:
        """NaN is written as the bare token, which is no JSON."""
        simulated.behave("claude", Behaviour(usage={"output_tokens": float("nan")}))
        raw = await claude.messages.with_raw_response.create(**CLAUDE)
        assert b'"output_tokens":NaN' in await raw.read()

    async def test_usage_left_out(
        self, simulated: SimulatedProviders, claude: anthropic.AsyncAnthropic, kimi: openai.AsyncOpenAI
    ) -> None:
        """Single usage fields, or all of them, can be missing."""
        simulated.behave("claude", Behaviour(usage_without=("cache_read_input_tokens",)))
        simulated.behave("kimi_k2", Behaviour(usage_without=("*",)))
        message = await claude.messages.create(**CLAUDE)
        assert "cache_read_input_tokens" not in message.usage.model_fields_set
        assert (await kimi.chat.completions.create(**KIMI)).usage is None
        assert not any(chunk.usage for chunk in await kimi_chunks(kimi))

    async def test_large_answer(self, simulated: SimulatedProviders, kimi: openai.AsyncOpenAI) -> None:
        """An answer can have any number of bytes, plain or streamed."""
        simulated.behave("kimi_k2", Behaviour(size_bytes=3_000_000))
        completion = await kimi.chat.completions.create(**KIMI)
        assert len(completion.choices[0].message.content or "") == 3_000_000
        assert len(kimi_text(await kimi_chunks(kimi))) == 3_000_000
