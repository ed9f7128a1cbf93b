"""Vendors' bodies in the words of the bus, whatever a program puts into them, and answers in the vendors' forms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.bridge.asked import Asked
from cortexd.bridge.conversations import Conversations
from cortexd.bridge.formats import Format, chat, messages, responses
from cortexd.bridge.formats.chat import ChatFormat
from cortexd.bridge.formats.messages import MessagesFormat
from cortexd.bridge.formats.responses import ResponsesFormat
from cortexd.client import Completion, DoneEvent, TextEvent, ToolCallEvent
from cortexd.client.outgoing import messages_out, options_out
from cortexd.domain.messages import ToolCall
from cortexd.errors import BudgetExceeded, CortexError, InvalidArgument, RateLimited
from cortexd.validation import parse_messages, parse_options

CHAT, MESSAGES, RESPONSES = ChatFormat(), MessagesFormat(), ResponsesFormat()
FORMATS = pytest.mark.parametrize("form", [CHAT, MESSAGES, RESPONSES], ids=["chat", "messages", "responses"])
PARTS = ["role", "content", "type", "text", "image_url", "url", "source", "data", "media_type"]
CALLS = ["tool_calls", "function", "name", "arguments", "id", "tool_call_id", "tool_use_id", "input", "parameters"]
INNER = [
    "call_id",
    "output",
    "format",
    "input_schema",
    "json_schema",
    "schema",
    "user_id",
    "include_usage",
    "thinking",
    "stop",
]
KEYS = st.sampled_from([*chat._KNOWN, *messages._KNOWN, *responses._KNOWN, *PARTS, *CALLS, *INNER])
ROLES = ["user", "assistant", "system", "developer", "tool"]
KINDS = [
    "text",
    "image",
    "image_url",
    "tool_use",
    "tool_result",
    "thinking",
    "function",
    "custom",
    "base64",
    "object",
    "message",
]
ITEMS = ["input_text", "output_text", "input_image", "function_call", "function_call_output", "reasoning"]
VALUES = ["auto", "any", "none", "json_schema", "data:image/png;base64,AAAA", "https://example.org/a.png", "{}"]
WORDS = st.sampled_from([*ROLES, *KINDS, *ITEMS, *VALUES])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
BODIES = st.dictionaries(KEYS, ANYTHING, max_size=8).map(
    lambda body: {"messages": [{"role": "user", "content": "hello"}], "input": "hello", **body}
)


def completion(**metadata: Any) -> Completion:
    return Completion.of("good day", {"request_id": "r1", "model": "m", "finish_reason": "stop", **metadata})


@FORMATS
class TestAnything:
    @given(BODIES)
    def test_only_says_what_is_wrong(self, form: Format, body: dict[str, Any]) -> None:
        """Each body is taken, or refused with one of our errors: here, on its way to the bus, or by the service."""
        try:
            asked = form.asked(body)
            assert messages_out(asked.messages) is not None
            assert options_out(asked.options) is not None
            parse_messages(asked.messages)
            parse_options(asked.options)
        except CortexError as error:
            status, told = form.error(error)
            assert 400 <= status < 500
            assert json.loads(json.dumps(told))["error"]["message"]

    def test_says_nothing_twice(self, form: Format) -> None:
        """What of a body has no word on the bus is named once; what says nothing is not."""
        asked = form.asked({"messages": [], "model": "auto", "top_k": 3, "seed": None, "logit_bias": {}})
        assert asked.lost == ("top_k",)


class TestChat:
    def test_words_of_the_bus(self) -> None:
        """Roles, tools, and the schema's nesting."""
        asked = CHAT.asked(
            {
                "model": "auto",
                "messages": [
                    {"role": "developer", "content": "be brief"},
                    {"role": "user", "content": [{"type": "text", "text": "hello"}]},
                ],
                "max_completion_tokens": 7,
                "tools": [{"type": "function", "function": {"name": "f", "strict": True}}, {"type": "web_search"}],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
                "prompt_cache_key": "talk",
            }
        )
        assert asked == Asked(
            "auto",
            [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": "hello"}]},
            ],
            {"max_tokens": 7, "tools": [{"name": "f"}], "tool_choice": "f", "response_schema": {"type": "object"}},
            session="talk",
            lost=("tools.web_search",),
        )

    def test_fetches_nothing(self) -> None:
        """An image is sent with the body or not at all."""
        part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
        with pytest.raises(InvalidArgument):
            CHAT.asked({"messages": [{"role": "user", "content": [part]}]})

    def test_money_is_not_a_rate(self) -> None:
        """As OpenAI tells the two apart."""
        status, told = CHAT.error(BudgetExceeded("no"))
        assert (status, told["error"]["code"]) == (429, "insufficient_quota")
        assert CHAT.error(RateLimited("slow"))[1]["error"]["code"] == "rate_limit_exceeded"


class TestMessages:
    def test_results_of_tools_are_messages_of_their_own(self) -> None:
        """In order, before what the user says beside them; thoughts are named as lost."""
        asked = MESSAGES.asked(
            {
                "model": "auto",
                "max_tokens": 7,
                "messages": [
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "thinking", "thinking": "…", "signature": "s"},
                            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                        ],
                    },
                    {
                        "role": "user",
                        "content": [
                            {"type": "tool_result", "tool_use_id": "t1", "content": "done"},
                            {"type": "text", "text": "go on"},
                        ],
                    },
                ],
            }
        )
        assert asked.messages == [
            {"role": "assistant", "content": "", "tool_calls": [{"id": "t1", "name": "f", "arguments": '{"a": 1}'}]},
            {"role": "tool", "tool_call_id": "t1", "content": "done"},
            {"role": "user", "content": [{"type": "text", "text": "go on"}]},
        ]
        assert asked.lost == ("content.thinking",)

    def test_money_has_a_status_of_its_own(self) -> None:
        """402, billing_error."""
        status, told = MESSAGES.error(BudgetExceeded("no"))
        assert (status, told["error"]["type"]) == (402, "billing_error")


class TestConversations:
    @given(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=12))
    def test_an_answer_given_again_is_kept_once(self, names: list[str]) -> None:
        """However often: the last two that have room can be gone on with."""
        said = [{"role": "user", "content": "x" * 300}]
        known = Conversations(most_bytes=1000)
        for name in names:
            known.keep(name, said, completion())
        for name in list(dict.fromkeys(reversed(names)))[:2]:
            assert known.before(name)[:1] == said


@FORMATS
class TestTelling:
    @given(st.lists(st.sampled_from(["text", "call"]), max_size=6))
    def test_events_are_json_and_end(self, form: Format, kinds: list[str]) -> None:
        """Whatever order text and calls come in: each line is an event, the last says that it is over."""
        telling = form.telling(Asked("auto", []), "r1")
        events = [TextEvent("a\nb") if kind == "text" else ToolCallEvent(ToolCall("t", "f", "{}")) for kind in kinds]
        data = telling.begin() + b"".join(map(telling.event, [*events, DoneEvent(completion())]))
        lines = [line.removeprefix(b"data: ") for line in data.splitlines() if line.startswith(b"data: ")]
        assert data.endswith(b"\n\n")
        rows = [json.loads(line) for line in lines if line != b"[DONE]"]
        opened = [row["index"] for row in rows if row.get("type") == "content_block_start"]
        closed = [row["index"] for row in rows if row.get("type") == "content_block_stop"]
        assert opened == closed == list(range(len(opened)))
        assert lines[-1] == b"[DONE]" or rows[-1]["type"] in ("message_stop", "response.completed")
        numbers = [row["sequence_number"] for row in rows if "sequence_number" in row]
        assert numbers == list(range(len(numbers)))
        begun = [row["output_index"] for row in rows if row.get("type") == "response.output_item.added"]
        ended = [row["output_index"] for row in rows if row.get("type") == "response.output_item.done"]
        assert begun == ended == list(range(len(begun)))
