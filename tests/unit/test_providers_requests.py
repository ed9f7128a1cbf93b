"""A call in each vendor's words: pure translation, checked field by field."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from cortexd.catalog import builtin_catalog
from cortexd.domain.messages import DEFAULT_MAX_TOKENS, Call, ImagePart, Message, Role, TextPart, Tool, ToolCall
from cortexd.domain.quirks import Quirk, Quirks
from cortexd.errors import Failure, ProviderError
from cortexd.providers.anthropic import request as anthropic_request
from cortexd.providers.openai import request as openai_request
from cortexd.providers.request_body import Joined, LongBody, RequestBody, as_is, encode

TOOL = Tool("weather", "The weather.", '{"type":"object","properties":{"n":{"const":12345678901234567890.10}}}')
IMAGE = ImagePart("image/png", b"hi")
KIMI = builtin_catalog().quirks("kimi_k2", "kimi-k2.6")


def user(text: str) -> Message:
    return Message(Role.USER, text)


def a_call(*messages: Message, **changes: Any) -> Call:
    return Call(**{"model": "m", "messages": messages or (user("hi"),), "timeout_s": 1.0, "max_tokens": 9, **changes})


def as_anthropic(*messages: Message, **changes: Any) -> Any:
    return json.loads(anthropic_request.request_body(a_call(*messages, **changes)).whole())


def as_openai(*messages: Message, quirks: Quirks = frozenset(), **changes: Any) -> Any:
    return json.loads(openai_request.request_body(a_call(*messages, **changes), quirks).whole())


class TestAnthropicMessages:
    def test_the_least(self) -> None:
        """A plain call has a model, max_tokens and one turn, and nothing else."""
        text = {"type": "text", "text": "hi"}
        assert as_anthropic() == {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [text]}]}

    def test_system_messages_are_joined(self) -> None:
        """System messages from anywhere are joined in order into `system`; empty ones leave no trace."""
        body = as_anthropic(
            Message(Role.SYSTEM, "a"),
            Message(Role.SYSTEM, (TextPart("b"), TextPart("c"))),
            user("hi"),
            Message(Role.SYSTEM, "  "),
            Message(Role.SYSTEM, "d"),
        )
        assert body["system"] == "a\n\nbc\n\nd"
        assert [turn["role"] for turn in body["messages"]] == ["user"]

    def test_turns_of_one_role_are_merged(self) -> None:
        """Consecutive turns of one role become one, also across a system message."""
        body = as_anthropic(
            user("a"), Message(Role.SYSTEM, "s"), user("b"), Message(Role.ASSISTANT, "c"), Message(Role.ASSISTANT, "d")
        )
        texts = [[block["text"] for block in turn["content"]] for turn in body["messages"]]
        assert texts == [["a", "b"], ["c", "d"], ["Continue."]]

    @pytest.mark.parametrize("empty", ["", " \n\t", (), (TextPart(""), TextPart(" "))])
    def test_empty_texts_are_dropped(self, empty: Any) -> None:
        """Blocks of white space, and turns with nothing else, are dropped."""
        body = as_anthropic(user("a"), Message(Role.ASSISTANT, empty), Message(Role.USER, empty), user("b"))
        assert [(turn["role"], len(turn["content"])) for turn in body["messages"]] == [("user", 2)]

    def test_tool_results_are_one_user_turn(self) -> None:
        """Tool results and the words after them make one user turn, results first, whatever order they came in."""
        calls = (ToolCall("a", "weather", '{"x": 1}'), ToolCall("b", "weather", ""))
        body = as_anthropic(
            user("q"),
            Message(Role.ASSISTANT, "let me see", calls),
            user("hurry"),
            Message(Role.TOOL, "sunny", tool_call_id="a"),
            Message(Role.SYSTEM, "s"),
            Message(Role.TOOL, "", tool_call_id="b"),
        )
        _, assistant, results = body["messages"]
        assert [block["type"] for block in assistant["content"]] == ["text", "tool_use", "tool_use"]
        assert [block.get("input") for block in assistant["content"]] == [None, {"x": 1}, {}]
        assert results["content"] == [
            {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "sunny"}]},
            {"type": "tool_result", "tool_use_id": "b"},
            {"type": "text", "text": "hurry"},
        ]

    def test_foreign_ids_fit(self) -> None:
        """Ids made by another vendor are brought into Claude's alphabet, alike on the call and on its result."""
        body = as_anthropic(
            user("q"),
            Message(Role.ASSISTANT, "", (ToolCall("functions.w:0", "w", "{}"),)),
            Message(Role.TOOL, "x", tool_call_id="functions.w:0"),
        )
        assert body["messages"][1]["content"][0]["id"] == "functions_w_0"
        assert body["messages"][2]["content"][0]["tool_use_id"] == "functions_w_0"

    @pytest.mark.parametrize("arguments", ["not json", "[1]", "7", "{"])
    def test_arguments_that_are_no_object(self, arguments: str) -> None:
        """Arguments that are no JSON object are put into one, so that the model can still see them."""
        wish = Message(Role.ASSISTANT, "", (ToolCall("a", "w", arguments),))
        assert as_anthropic(wish)["messages"][1]["content"][0]["input"] == {"arguments": arguments}

    def test_images(self) -> None:
        """An image is a base64 source."""
        block = as_anthropic(Message(Role.USER, (IMAGE,)))["messages"][0]["content"][0]
        assert block == {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


class TestAnthropicOptions:
    def test_tools_keep_their_schema(self) -> None:
        """A tool's schema goes on unchanged to the last digit; no description means no field."""
        call = a_call(tools=(TOOL, Tool("bare")))
        body = anthropic_request.request_body(call).whole()
        assert TOOL.parameters.encode() in body
        tools = json.loads(body)["tools"]
        assert (tools[0]["description"], "description" in tools[1]) == ("The weather.", False)

    @pytest.mark.parametrize(
        ("choice", "expected"),
        [
            ("auto", {"type": "auto"}),
            ("none", {"type": "none"}),
            ("required", {"type": "any"}),
            ("weather", {"type": "tool", "name": "weather"}),
            (None, None),
        ],
    )
    def test_tool_choice(self, choice: str | None, expected: dict[str, str] | None) -> None:
        """Each tool choice in Claude's words."""
        assert as_anthropic(tools=(TOOL,), tool_choice=choice).get("tool_choice") == expected

    def test_tool_choice_needs_tools(self) -> None:
        """Without tools there is nothing to choose."""
        assert "tool_choice" not in as_anthropic(tool_choice="auto")

    def test_what_is_left_out_is_named(self) -> None:
        """Temperature is never sent; a schema without a form is not either; both are named."""
        request = anthropic_request.request_body(a_call(temperature=0.0, response_schema='{"type": "object"}'))
        assert request.dropped_options == ("temperature", "response_schema")
        assert set(json.loads(request.whole())) == {"model", "max_tokens", "messages"}

    def test_a_schema_is_an_output_format(self) -> None:
        """A response schema becomes output_config.format."""
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
        body = as_anthropic(response_schema=json.dumps(schema))
        assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}

    @pytest.mark.parametrize(("max_tokens", "streamed"), [(21_333, False), (21_334, True)])
    def test_long_answers_are_streamed(self, max_tokens: int, streamed: bool) -> None:
        """Above 21,333 tokens the answer is asked for as a stream."""
        assert as_anthropic(max_tokens=max_tokens).get("stream", False) is streamed


class TestOpenAIMessages:
    def test_messages_go_as_they_are(self) -> None:
        """Every role keeps its place; an assistant with calls and no words has an empty text."""
        wish = ToolCall("a", "weather", '{"x": 1}')
        body = as_openai(
            Message(Role.SYSTEM, "s"),
            Message(Role.USER, "q", name="ann"),
            Message(Role.ASSISTANT, "", (wish,)),
            Message(Role.TOOL, "sunny", tool_call_id="a"),
            Message(Role.ASSISTANT, "done"),
        )
        function = {"name": "weather", "arguments": '{"x": 1}'}
        assert body["messages"] == [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "q", "name": "ann"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "a", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "a", "content": "sunny"},
            {"role": "assistant", "content": "done"},
        ]

    def test_images(self) -> None:
        """An image is a data URL."""
        content = as_openai(Message(Role.USER, (TextPart("look"), IMAGE)))["messages"][0]["content"]
        assert content == [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        ]


class TestLongBodies:
    @pytest.mark.parametrize(
        "value",
        [
            "x" * 500_000,
            'Ä"\\\n\u2028' * 60_000,
            "\N{GRINNING FACE}" * 200_000,
            Joined(("data:image/png;base64,", bytes(range(256)) * 2000 + b"!")),
            [b"\xff" * 400_001, {"short": "a", "long": "y" * 200_000}],
        ],
        ids=["ascii", "escapes", "astral", "image", "several"],
    )
    def test_they_are_the_plain_json(self, value: Any) -> None:
        """Made piece by piece a body is what it would be in one piece, and as long as it says."""
        body = RequestBody(encode({"before": 1, "value": value, "after": as_is('{"n": 1.50}')}))
        assert isinstance(body.content, LongBody)
        assert body.whole() == msgspec.json.encode({"before": 1, "value": plain(value), "after": as_is('{"n": 1.50}')})
        assert body.headers == {"Content-Length": str(len(body.whole()))}
        assert max(map(len, body.content.pieces())) < 1_200_000

    def test_short_ones_are_bytes(self) -> None:
        """What fits into one piece needs no length of its own."""
        body = RequestBody(encode({"text": "x" * 1000, "image": b"hi"}))
        assert (body.content, body.headers) == (b'{"text":"' + b"x" * 1000 + b'","image":"aGk="}', {})

    def test_no_valid_unicode(self) -> None:
        """A lone surrogate in a long text is found before anything is sent."""
        with pytest.raises(ProviderError) as caught:
            encode({"text": "x" * 500_000 + "\ud800"})
        assert caught.value.failure is Failure.REFUSED


def plain(value: Any) -> Any:
    """What msgspec writes by itself: bytes as base64."""
    if isinstance(value, Joined):
        return "".join(part if isinstance(part, str) else b64encode(part).decode() for part in value)
    return value


class TestOpenAIOptions:
    def test_all_of_them(self) -> None:
        """Temperature, tools, tool choice and schema in OpenAI's words, schemas unchanged."""
        call = a_call(temperature=0.5, tools=(TOOL,), tool_choice="weather", response_schema=TOOL.parameters)
        request = openai_request.request_body(call)
        assert request.whole().count(TOOL.parameters.encode()) == 2
        body = json.loads(request.whole())
        assert (body["max_tokens"], body["temperature"]) == (9, 0.5)
        assert body["tools"][0]["function"]["description"] == "The weather."
        assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
        assert body["response_format"]["json_schema"]["name"] == "answer"
        assert request.dropped_options == ()

    @pytest.mark.parametrize("choice", ["auto", "none", "required"])
    def test_tool_choice_words(self, choice: str) -> None:
        """The three words go as they are."""
        assert as_openai(tools=(TOOL,), tool_choice=choice)["tool_choice"] == choice

    @pytest.mark.parametrize("choice", ["required", "weather"])
    def test_kimi_stops_thinking_for_a_forced_tool(self, choice: str) -> None:
        """kimi-k2.6 is told not to think where a tool is forced; nothing is dropped."""
        call = a_call(model="kimi-k2.6", tools=(TOOL,), tool_choice=choice)
        request = openai_request.request_body(call, KIMI)
        assert json.loads(request.whole())["thinking"] == {"type": "disabled"}
        assert request.dropped_options == ()

    def test_kimi_wants_its_reasoning_back(self) -> None:
        """Assistant turns with tool calls carry a reasoning_content for kimi-k2.6, for others they do not."""
        wish = Message(Role.ASSISTANT, "", (ToolCall("a", "weather", "{}"),))
        kept = replace(wish, reasoning="It may rain.")
        assert as_openai(wish, quirks=KIMI)["messages"][0]["reasoning_content"]
        assert as_openai(kept, quirks=KIMI)["messages"][0]["reasoning_content"] == "It may rain."
        assert "reasoning_content" not in as_openai(kept)["messages"][0]

    def test_the_same_weights_elsewhere(self) -> None:
        """On somebody else's server the model's limits are unknown, and the temperature is sent."""
        assert as_openai(model="moonshotai/Kimi-K2.6", temperature=0.5)["temperature"] == 0.5


class TestLimits:
    @pytest.mark.parametrize(
        ("quirks", "field"),
        [
            ([], "max_tokens"),
            (["max_completion_tokens"], "max_completion_tokens"),
            (["max_completion_tokens", "max_tokens"], "max_tokens"),
        ],
    )
    def test_the_limit_by_its_name(self, quirks: list[str], field: str) -> None:
        """The caller's limit goes by the name that the model takes; a refusal stands above the catalogue."""
        body = as_openai(quirks=frozenset(map(Quirk, quirks)))
        assert {name: value for name, value in body.items() if "tokens" in name} == {field: 9}

    @pytest.mark.parametrize("quirks", [[], ["max_completion_tokens"]])
    def test_no_limit_that_nobody_asked_for(self, quirks: list[str]) -> None:
        """OpenAI's style knows an answer without a limit, Anthropic's does not."""
        assert not [name for name in as_openai(quirks=frozenset(map(Quirk, quirks)), max_tokens=None) if "max" in name]
        assert as_anthropic(max_tokens=None)["max_tokens"] == DEFAULT_MAX_TOKENS

    @pytest.mark.parametrize(
        ("quirk", "options", "dropped"),
        [
            ("no_temperature", {"temperature": 0.0}, ("temperature",)),
            ("no_temperature", {}, ()),
            ("no_forced_tool", {"tools": (TOOL,), "tool_choice": "required"}, ("tool_choice",)),
            ("no_forced_tool", {"tools": (TOOL,), "tool_choice": "auto"}, ()),
            ("no_response_schema", {"response_schema": "{}"}, ("response_schema",)),
        ],
    )
    def test_what_a_model_refuses_is_left_out(self, quirk: str, options: Any, dropped: tuple[str, ...]) -> None:
        """It is named, where it was asked for; the rest of the request stays."""
        quirks = frozenset({Quirk(quirk)})
        request = openai_request.request_body(a_call(**options), quirks)
        rest = {name: value for name, value in options.items() if name not in dropped}
        assert request.dropped_options == dropped
        assert request.content == openai_request.request_body(a_call(**rest)).content


class TestBadText:
    @pytest.mark.parametrize("translate", [as_anthropic, as_openai])
    def test_text_that_is_not_unicode(self, translate: Any) -> None:
        """A prompt with half a surrogate pair is refused before anything is sent."""
        with pytest.raises(ProviderError) as refused:
            translate(user("\ud800"))
        assert (refused.value.failure, refused.value.may_have_billed) == (Failure.REFUSED, False)
