"""What callers send, and the errors that tell them what to mend."""

from __future__ import annotations

from typing import Any

import pytest

from cortexd.domain.messages import ImagePart, Role, TextPart, Tool
from cortexd.domain.tasks import TaskType, parse_task_type
from cortexd.errors import InvalidArgument, TooLarge, UnknownTaskType
from cortexd.validation import Bounds, content_hash, parse_messages, parse_options, prompt_bytes

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
            {"type": "image", "media_type": "image/png", "data": b"\x89PNG"},
        ]
        [message] = parse_messages([{"role": "user", "content": parts}])
        assert message.content == (TextPart("what is it?"), ImagePart("image/png", b"\x89PNG"))

    def test_unsafe_text_is_made_safe(self) -> None:
        """A caller's lone surrogate reaches neither ledger nor provider."""
        assert parse_messages([{"role": "user", "content": "a\ud800"}])[0].content == "a\ufffd"

    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            ([], "messages: expected at least one message"),
            ("hi", "messages: expected a list"),
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
        ],
    )
    def test_errors_name_the_path(self, rows: Any, words: str) -> None:
        """Each fault is named with its place and what was expected."""
        with pytest.raises(InvalidArgument, match=words):
            parse_messages(rows)

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
            ({"tools": [{"name": "f g"}]}, r"options\.tools\[0\]\.name"),
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
