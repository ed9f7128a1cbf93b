"""What callers send, and the errors that tell them what to mend."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from cortexd.domain.messages import ImagePart, Role, TextPart, Tool
from cortexd.domain.tasks import TaskType, parse_task_type
from cortexd.errors import InvalidArgument, TooLarge, UnknownTaskType
from cortexd.validation import Bounds, check_asked, content_hash, parse_messages, parse_options, prompt_bytes

USER = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "name": "run", "arguments": "{}"}


class TestTaskType:
    def test_all_eight(self) -> None:
        """The specification's task types, by their lower-case names."""
        assert len(TaskType) == 8
        assert parse_task_type("user_chat") is TaskType.USER_CHAT

    def test_a_slip_is_recognised(self) -> None:
        """The error offers the nearest name and lists all."""
        with pytest.raises(UnknownTaskType, match=r"did you mean 'user_chat'\?.*tool_execution"):
            parse_task_type("user_chatt")


class TestMessages:
    def test_a_conversation_with_tools(self) -> None:
        """System, user, an assistant's tool call and its result."""
        rows = [
            {"role": "system", "content": "be brief"},
            USER,
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ]
        messages = parse_messages(rows)
        assert [message.role for message in messages] == [Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.TOOL]
        assert messages[2].tool_calls[0].name == "run"
        assert messages[3].tool_call_id == "c1"

    def test_openai_nesting_of_tool_calls(self) -> None:
        """A program that already speaks OpenAI's form need not change it."""
        nested = {"id": "c1", "type": "function", "function": {"name": "run", "arguments": "{}"}}
        assert parse_messages([USER, {"role": "assistant", "content": "", "tool_calls": [nested]}])[1].tool_calls

    def test_parts(self) -> None:
        """Text and images, the image as bytes or base64."""
        parts = [
            {"type": "text", "text": "what is it?"},
            {"type": "image", "media_type": "image/png", "data": b"\x89PNG\r\n\x1a\n"},
        ]
        [message] = parse_messages([{"role": "user", "content": parts}])
        assert message.content == (TextPart("what is it?"), ImagePart("image/png", b"\x89PNG\r\n\x1a\n"))

    @pytest.mark.parametrize(
        ("start", "media_type"),
        [
            (b"\x89PNG\r\n\x1a\n", "image/png"),
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
            (b"GIF87a", "image/gif"),
            (b"GIF89a", "image/gif"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        ],
    )
    @pytest.mark.parametrize("said", ["image/png", "image/jpg", "application/octet-stream", None])
    @pytest.mark.parametrize("encode", [bytes, lambda data: base64.b64encode(data).decode()])
    def test_an_image_is_what_its_bytes_say(self, start: bytes, media_type: str, said: str | None, encode: Any) -> None:
        """Whatever it is called, and whether it comes as bytes or as base64."""
        image = {"type": "image", "data": encode(start + b"\0" * 100), **({"media_type": said} if said else {})}
        [message] = parse_messages([{"role": "user", "content": [image]}])
        assert [part.media_type for part in message.parts() if isinstance(part, ImagePart)] == [media_type]

    @pytest.mark.parametrize("data", [b"", b"BM", b"<svg>", b"RIFF\x10\0\0\0WAVE", b"\x89PN", b"%PDF-1.7", b"GIF8xx"])
    def test_what_is_no_image(self, data: bytes) -> None:
        """It is refused by its place, under whatever type."""
        image = {"type": "image", "media_type": "image/png", "data": data}
        with pytest.raises(InvalidArgument, match=r"^messages\[1\]\.content\[0\]\.data: expected a PNG, JPEG"):
            parse_messages([USER, {"role": "user", "content": [image]}])

    @pytest.mark.parametrize("name", ["a.b", "web search", "x" * 256, "", "ünï", "f"])
    @pytest.mark.parametrize("arguments", ["", "{", '{"x": NaN}', "[]", "\ud800", None])
    def test_what_an_answer_gave_can_be_given_back(self, name: str, arguments: str | None) -> None:
        """A tool call's name and arguments are the model's: they are taken as they come."""
        wish = {"id": "functions.f:0", "name": name, "arguments": arguments}
        [_, asked, _] = parse_messages(
            [
                USER,
                {"role": "assistant", "content": None, "tool_calls": [wish], "reasoning_content": "I should."},
                {"role": "tool", "tool_call_id": "functions.f:0", "content": None},
            ]
        )
        assert (asked.tool_calls[0].name, asked.reasoning) == (name, "I should.")

    def test_unsafe_text_is_made_safe(self) -> None:
        """A caller's lone surrogate reaches neither ledger nor provider."""
        assert parse_messages([{"role": "user", "content": "a\ud800"}])[0].content == "a\ufffd"

    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            ([], "messages: expected at least one message"),
            ("hi", "messages: expected a list"),
            (
                [{"role": "user", "content": "x", "reasoning_content": "y"}],
                r"messages\[0\]\.reasoning_content: expected",
            ),
            ([USER, {"role": "assistant", "tool_calls": [{**CALL, "name": "x" * 257}]}], r"tool_calls\[0\]\.name"),
            (["hi"], r"messages\[0\]: expected a dictionary"),
            ([USER, USER, {"role": "usr", "content": "x"}], r"messages\[2\]\.role: expected one of .*, got 'usr'"),
            ([{"role": "user"}], r"messages\[0\]\.content: expected text or parts, got nothing"),
            ([{"role": "user", "contents": "x"}], r"messages\[0\].*contents.*did you mean 'content'"),
            (
                [{"role": "user", "content": "x", "tool_calls": [CALL]}],
                r"messages\[0\]\.tool_calls: expected only on an",
            ),
            ([{"role": "tool", "content": "x"}], r"messages\[0\]\.tool_call_id: expected on every tool message"),
            (
                [USER, {"role": "tool", "content": "x", "tool_call_id": "nope"}],
                r"messages\[1\]\.tool_call_id: no earlier",
            ),
            ([{"role": "system", "content": "x"}], "system messages only"),
            (
                [{"role": "user", "content": [{"type": "video"}]}],
                r"messages\[0\]\.content\[0\]\.type: expected one of text",
            ),
            ([{"role": "user", "content": [{"type": "image", "media_type": "image/bmp", "data": ""}]}], "media_type"),
            ([{"role": "user", "content": [{"type": "image", "media_type": "image/png", "data": "@"}]}], "base64"),
            ([{"role": "user", "content": [{"type": "image", "media_type": "image/png", "data": "\u00e9"}]}], "base64"),
        ],
    )
    def test_errors_name_the_path(self, rows: Any, words: str) -> None:
        """Each fault is named with its place and what was expected."""
        with pytest.raises(InvalidArgument, match=words):
            parse_messages(rows)

    @pytest.mark.parametrize(
        ("rows", "path"),
        [
            ([{"role": "user", "content": " \n"}], "messages[0].content"),
            ([{"role": "system", "content": "x"}, {"role": "user", "content": []}], "messages[1].content"),
            ([{"role": "user", "content": ""}, {"role": "assistant"}], "messages[1].content"),
        ],
    )
    def test_a_blank_prompt_asks_nothing(self, rows: Any, path: str) -> None:
        """It will do for a dry run, but nobody could answer it."""
        messages = parse_messages(rows)
        with pytest.raises(InvalidArgument, match=f"^{re.escape(path)}: expected text that is not blank"):
            check_asked(messages)

    def test_sizes_are_bounded(self) -> None:
        """Too many messages or bytes are refused with the limit."""
        with pytest.raises(TooLarge, match="at most 2 messages, got 3"):
            parse_messages([USER] * 3, Bounds(max_messages=2))
        with pytest.raises(TooLarge, match="at most 10 bytes, got 12"):
            parse_messages([{"role": "user", "content": "ü" * 6}], Bounds(max_prompt_bytes=10))


class TestOptions:
    def test_all_options(self) -> None:
        """Each documented option is understood."""
        options = parse_options(
            {
                "provider": "claude", "model": "m", "temperature": 0.5, "max_tokens": 100, "tool_choice": "auto",
                "tools": [{"name": "f", "parameters": {"properties": {"a": {"type": "string"}}}}],
                "response_schema": '{"type": "object"}', "fallback": True, "deadline_ms": 1000, "max_cost_usd": 0.25,
                "privacy": "local", "request_id": "job-1", "labels": {"project": "x"},
            }
        )  # fmt: skip
        assert options.max_cost_nano == 250_000_000
        assert options.tools == (Tool("f", "", '{"type": "object", "properties": {"a": {"type": "string"}}}'),)
        assert options.labels == {"project": "x"}

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"temprature": 1}, r"options\..*temprature.*did you mean 'temperature'"),
            ({"xyz": 1}, "expected one of provider, model"),
            ({"temperature": float("nan")}, "options.temperature: expected a number from 0 to 2"),
            ({"temperature": True}, "options.temperature"),
            ({"max_tokens": 0}, "options.max_tokens: expected a whole number from 1"),
            ({"max_tokens": 1.5}, "options.max_tokens"),
            ({"max_cost_usd": float("inf")}, "options.max_cost_usd"),
            ({"max_cost_usd": -1}, "options.max_cost_usd"),
            ({"deadline_ms": 2**31 - 1}, "options.deadline_ms: expected at most"),
            ({"request_id": "a b"}, "options.request_id: expected text that matches"),
            ({"request_id": "x" * 65}, "options.request_id"),
            ({"privacy": "secret"}, "options.privacy: expected one of any, local"),
            ({"fallback": 1}, "options.fallback: expected true or false"),
            ({"tool_choice": "auto"}, "expected only together with tools"),
            ({"tools": [{"name": "f"}, {"name": "f"}]}, "each tool name once"),
            ({"tools": [{"name": ""}]}, r"options\.tools\[0\]\.name"),
            ({"tools": [{"name": "f", "parameters": "{"}]}, r"options\.tools\[0\]\.parameters: expected a JSON Schema"),
            ({"tools": [{"name": "f", "parameters": '{"type": "string"}'}]}, 'expected "object"'),
            ({"labels": {"a": 1}}, "options.labels"),
            ({"labels": {str(n): "x" for n in range(17)}}, "at most 16 labels"),
            ([], "options: expected a dictionary"),
        ],
    )
    def test_errors_name_the_option(self, options: Any, words: str) -> None:
        """Unknown keys name the nearest known one; wrong values what was expected."""
        with pytest.raises(InvalidArgument, match=words):
            parse_options(options)

    def test_deeply_nested_schema_is_refused(self) -> None:
        """A schema that would exhaust the stack is an error, not a crash."""
        with pytest.raises(InvalidArgument):
            parse_options({"response_schema": '{"a":' * 100_000 + "1" + "}" * 100_000})


class TestContentHash:
    def test_only_what_shapes_the_answer_counts(self) -> None:
        """A retry may wait longer or carry other labels; other text or another model is another request."""
        messages = parse_messages([USER])
        first = content_hash("user_chat", messages, parse_options({"request_id": "a"}))
        assert first == content_hash("user_chat", messages, parse_options({"request_id": "a", "deadline_ms": 9}))
        assert first != content_hash("user_chat", messages, parse_options({"model": "m"}))
        assert first != content_hash("user_chat", messages, parse_options({"temperature": 0.0}))
        assert first != content_hash(
            "user_chat", parse_messages([{"role": "user", "content": "ho"}]), parse_options({})
        )
        assert first != content_hash("configuration", messages, parse_options({}))
        said = {"role": "assistant", "content": "x"}
        thought = parse_messages([USER, {**said, "reasoning_content": "y"}])
        assert content_hash("user_chat", parse_messages([USER, said]), parse_options({})) != content_hash(
            "user_chat", thought, parse_options({})
        )

    def test_stable_across_versions(self) -> None:
        """A repeated request is recognised by a row that an earlier version wrote."""
        messages = parse_messages(
            [USER, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": "ü"}]
        )
        options = parse_options({"temperature": 0.5, "tools": [{"name": "f"}], "labels": {"a": "b"}})
        assert content_hash("user_chat", messages, options).hex() == (
            "ace25c3947f2492eada772ed34f07b22179e285e7379743fbfa36b2a0c82cd56"
        )
        later = parse_options({"temperature": 0.5, "tools": [{"name": "f"}], "strategy": "cost", "session": "s"})
        assert content_hash("user_chat", messages, later) == content_hash("user_chat", messages, options)


class TestPromptBytes:
    def test_counts_utf8_bytes_of_texts_and_tools(self) -> None:
        """The most tokens that the text can be."""
        assert prompt_bytes(parse_messages([{"role": "user", "content": "aü"}]), (Tool("f", "d", "{}"),)) == 3 + 4
