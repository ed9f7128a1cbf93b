"""Vendors' bodies in the words of the bus, whatever a program puts into them, and answers in the vendors' forms."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.client.outgoing import messages_out, options_out
from cortexd.config.api_kinds import API_KINDS
from cortexd.domain.messages import ToolCall, Usage
from cortexd.errors import (
    UNSUITED,
    BudgetExceeded,
    CortexError,
    Failure,
    InvalidArgument,
    NoProviderAvailable,
    RateLimited,
    tried_detail,
)
from cortexd.formats import (
    FORMATS,
    Answered,
    Asked,
    Extras,
    Format,
    chat,
    check_translatable,
    format_named,
    messages,
    responses,
)
from cortexd.validation import parse_messages, parse_options

CHAT, MESSAGES, RESPONSES = FORMATS["openai"], FORMATS["anthropic"], FORMATS["responses"]
EACH = pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
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
COMPACTED = {"edits": [{"type": "compact_20260112"}]}
OF_A_URL = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
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


class TestNames:
    def test_are_the_configuration_s(self) -> None:
        """One word per API in the whole house; another is refused with those that there are."""
        assert {name: form.name for name, form in FORMATS.items()} == {name: name for name in API_KINDS}
        with pytest.raises(InvalidArgument, match="anthropic, openai, responses"):
            format_named("chat")


@EACH
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
            most, times = form.most_output(body)
            assert most == asked.options.get("max_tokens")
            assert times >= 1
            assert form.extras(body)
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
        """An image is sent with the body, or the vendor fetches it."""
        part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
        asked = CHAT.asked({"messages": [{"role": "user", "content": [part]}]})
        assert asked.native == ("content.image.url",)
        assert "example.org" not in str(asked.messages)

    def test_calls_of_custom_tools(self) -> None:
        """Read as calls with one argument, so that their results find them."""
        call = {"id": "t1", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
        turns = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "t1", "content": "done"}]
        asked = CHAT.asked({"messages": [{"role": "user", "content": "hello"}, *turns]})
        [_, made, _] = parse_messages(asked.messages)
        assert json.loads(made.tool_calls[0].arguments) == {"input": "*** Begin"}
        assert asked.lost == ("tool_calls.custom",)

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

    def test_an_assistant_s_turn_stands_without_its_vendor_s(self) -> None:
        """What the vendor's tools did is left out; cache marks are named once; a compacted conversation is needed."""
        mark = {"cache_control": {"type": "ephemeral"}}
        said = [{"type": "server_tool_use", "id": "s", "name": "web_search"}, {"type": "text", "text": "so", **mark}]
        turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": said}]
        asked = MESSAGES.asked({"system": [{"type": "text", "text": "be brief", **mark}], "messages": turns})
        assert asked.messages[-1] == {"role": "assistant", "content": [{"type": "text", "text": "so"}]}
        assert (asked.lost, asked.native) == (("cache_control", "content.server_tool_use"), ())
        short = [{"role": "assistant", "content": [{"type": "compaction", "content": "they met"}]}, turns[0]]
        assert MESSAGES.asked({"messages": short}).native == ("content.compaction",)

    def test_a_choice_of_a_vendor_s_tool(self) -> None:
        """Is no choice on the bus."""
        body = {"messages": [], "tools": [{"type": "web_search_20260318", "name": "web_search"}]}
        asked = MESSAGES.asked({**body, "tool_choice": {"type": "tool", "name": "web_search"}})
        assert (asked.options, asked.lost) == ({}, ("tools.web_search_20260318", "tool_choice"))

    def test_money_has_a_status_of_its_own(self) -> None:
        """402, billing_error."""
        status, told = MESSAGES.error(BudgetExceeded("no"))
        assert (status, told["error"]["type"]) == (402, "billing_error")


class TestResponses:
    @pytest.mark.parametrize("key", ["previous_response_id", "conversation", "prompt"])
    def test_what_the_vendor_keeps_is_refused(self, key: str) -> None:
        """Nobody here could bound it, or search it for secrets."""
        with pytest.raises(InvalidArgument, match=key):
            RESPONSES.asked({"input": "hello", key: "x"})

    def test_the_whole_conversation(self) -> None:
        """Instructions come first; reasoning is left out, and calls find their results."""
        items = [
            {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
            {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"},
            {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "***"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        ]
        asked = RESPONSES.asked({"instructions": "be brief", "input": items})
        assert [message.role for message in parse_messages(asked.messages)] == ["system", "user", "assistant", "tool"]
        assert asked.lost == ("input.reasoning", "input.custom_tool_call")


@EACH
class TestNative:
    """What only one API can do is asked there, and of nobody else."""

    PARTS: ClassVar[dict[str, list[dict[str, Any]]]] = {
        "openai": [
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            {"type": "file", "file": {"file_id": "f"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
            {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        ],
        "anthropic": [
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
            {"type": "document", "source": {"type": "file", "file_id": "f"}},
            {"type": "container_upload", "file_id": "f"},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}},
            {"type": "document", "source": {"type": "content", "content": [OF_A_URL]}},
        ],
        "responses": [
            {"type": "input_image", "image_url": "https://example.org/a.png"},
            {"type": "input_file", "file_id": "f"},
            {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA"},
            {"type": "input_file", "file_url": "https://example.org/a.pdf"},
        ],
    }

    def test_parts_of_its_own(self, form: Format) -> None:
        """They are read, and named; a translation is refused; what stands elsewhere is told."""
        for part in self.PARTS[form.name]:
            turns = [{"role": "user", "content": [part]}]
            body = {"model": "auto", "messages": turns, "input": turns}
            asked = form.asked(body)
            assert parse_messages(asked.messages)
            assert len(asked.native) == 1
            with pytest.raises(InvalidArgument):
                check_translatable(asked)
            extras = form.extras(body)
            assert bool(extras.beyond) == (part["type"] != "input_audio")
            assert bool(extras.rates) == (part["type"] == "input_audio")

    def test_usual_bodies_cost_their_tokens(self, form: Format) -> None:
        """Neither a function nor an image in the body is an extra."""
        tools = [{"type": "function", "name": "f", "function": {"name": "f"}}]
        data = {"openai": self._chat_image(), "anthropic": self._source(), "responses": self._input_image()}[form.name]
        turns = [{"role": "user", "content": [data, {"type": "text", "text": "see https://example.org"}]}]
        own = [{"name": "f", "input_schema": {}}] if form is MESSAGES else tools
        body = {"model": "auto", "messages": turns, "input": turns, "tools": own, "service_tier": "auto"}
        assert form.extras(body) == Extras()
        assert form.asked(body).native == ()

    @staticmethod
    def _chat_image() -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

    @staticmethod
    def _source() -> dict[str, Any]:
        return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}

    @staticmethod
    def _input_image() -> dict[str, Any]:
        return {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


@pytest.mark.parametrize(
    ("form", "body", "extras"),
    [
        (CHAT, {"service_tier": "priority"}, Extras(rates=("service_tier.priority",))),
        (CHAT, {"modalities": ["text", "audio"]}, Extras(rates=("modalities.audio",))),
        (CHAT, {"web_search_options": {"search_context_size": "low"}}, Extras(fees=("web_search_options",))),
        (CHAT, {"web_search_options": {}}, Extras(fees=("web_search_options",))),
        (CHAT, {"plugins": [{"id": "web"}], "enable_search": False}, Extras(fees=("plugins",))),
        (CHAT, {"models": ["dearer"]}, Extras(rates=("models",))),
        (RESPONSES, {"models": ["dearer"], "plugins": []}, Extras(rates=("models",))),
        (RESPONSES, {"tools": [{"type": "web_search"}, {"type": "local_shell"}]}, Extras(fees=("tools.web_search",))),
        (RESPONSES, {"tools": [{"type": "shell"}]}, Extras(fees=("tools.shell",))),
        (RESPONSES, {"tools": [{"type": "shell", "environment": {"type": "local"}}]}, Extras()),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "m"}]}, Extras(beyond=("input.item_reference",))),
        (MESSAGES, {"tools": [{"type": "web_search_20260318"}]}, Extras(fees=("tools.web_search_20260318",))),
        (MESSAGES, {"tools": [{"type": "of_next_year"}]}, Extras(fees=("tools.of_next_year",))),
        (MESSAGES, {"tools": [{"type": "bash_20250124"}, {"type": "custom"}]}, Extras()),
        (MESSAGES, {"speed": "fast", "inference_geo": "us"}, Extras(rates=("speed.fast", "inference_geo.us"))),
        (MESSAGES, {"context_management": COMPACTED}, Extras(fees=("context_management.compact_20260112",))),
        (MESSAGES, {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}, 1]}}, Extras()),
        (MESSAGES, {"compaction": {"type": "summarize"}}, Extras(fees=("compaction",))),
        (MESSAGES, {"fallbacks": [{"model": "m"}]}, Extras(rates=("fallbacks",))),
        (MESSAGES, {"cache_control": {"type": "ephemeral", "ttl": "5m"}}, Extras()),
        (MESSAGES, {"tools": [{"name": "t", "cache_control": {"ttl": "1h"}}]}, Extras(for_an_hour=True)),
        (MESSAGES, {"messages": [{"content": [{"cache_control": {"ttl": "2d"}}]}]}, Extras(for_an_hour=True)),
    ],
)
def test_extras(form: Format, body: dict[str, Any], extras: Extras) -> None:
    """What the price lists have beside tokens is named; a tool that nobody here knows may cost."""
    assert form.extras(body) == extras


class TestOutput:
    def test_answers_times_their_limit(self) -> None:
        """Each API's own words, the larger of two: vendors differ in which they obey. What is no number is refused."""
        assert CHAT.most_output({"max_tokens": 5, "max_completion_tokens": 7, "n": 3}) == (7, 3)
        assert CHAT.most_output({"max_tokens": 9000, "max_completion_tokens": 1}) == (9000, 1)
        assert RESPONSES.most_output({"max_output_tokens": 1.0e2}) == (100, 1)
        assert MESSAGES.most_output({}) == (None, 1)
        for wrong in (0, -1, 1.5, True, "7", 2.0**60):
            with pytest.raises(InvalidArgument):
                MESSAGES.most_output({"max_tokens": wrong})


class TestUnasked:
    @pytest.mark.parametrize(
        ("data", "unasked"),
        [
            (b'{"choices": [], "usage": {"prompt_tokens": 1}}', True),
            (b'{"usage":{"prompt_tokens":1},"choices":[]}', True),
            (b'{"choices": [], "usage": null}', False),
            (b'{"choices": [], "prompt_filter_results": []}', False),
            (b'{"choices": [{"delta": {"content": "\\"choices\\": []"}}], "usage": {}}', False),
            (b'{"choices": [', False),
            (b"[DONE]", False),
        ],
    )
    def test_the_usage_alone(self, data: bytes, unasked: bool) -> None:
        """A chunk that tells anything else is the program's."""
        assert CHAT.unasked(data) is unasked
        assert not MESSAGES.unasked(data)


@EACH
class TestTelling:
    @given(st.lists(st.sampled_from(["text", "call"]), max_size=6))
    def test_events_are_json_and_end(self, form: Format, kinds: list[str]) -> None:
        """Whatever order text and calls come in: each line is an event, the last says that it is over."""
        telling, call = form.telling(Asked("auto", []), "r1"), ToolCall("t", "f", "{}")
        data = telling.begin()
        data += b"".join(telling.text("a\nb") if kind == "text" else telling.tool_call(call) for kind in kinds)
        data += telling.done(Answered("r1", "m", "good day"))
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

    def test_a_failure_ends_any_stream(self, form: Format) -> None:
        """One event by itself, which says the service's words."""
        name, _, data = form.failed(RateLimited("slow down")).rpartition(b"data: ")
        told = json.loads(data)
        assert data.endswith(b"\n\n")
        assert (name == b"") is (form is CHAT)
        assert "slow down" in str(told.get("error") or told["response"]["error"])

    @pytest.mark.parametrize(
        ("failures", "status"),
        [
            ((Failure.REFUSED, Failure.CONTEXT), 400),
            ((Failure.CONTENT,), 400),
            ((Failure.REFUSED, Failure.SERVER), 503),
            ((Failure.FULL,), 503),
            ((), 503),
        ],
    )
    def test_what_all_refused_is_the_requests_fault(
        self, form: Format, failures: tuple[Failure, ...], status: int
    ) -> None:
        """So that no program takes it for an outage and asks again."""
        told = NoProviderAvailable("No provider answered.", tried=tried_detail(("one", item) for item in failures))
        code, body = form.error(told)
        assert code == status
        assert (body["error"]["type"] == "invalid_request_error") is (status == 400)

    def test_what_nobody_could_take_is_the_requests_fault(self, form: Format) -> None:
        """Such as a prompt that is longer than any model takes."""
        told = NoProviderAvailable("No provider can answer this.", left_out="one", cause=UNSUITED)
        assert form.error(told)[0] == 400

    def test_an_answer_counts(self, form: Format) -> None:
        """Tokens as each API counts them: Anthropic the cached ones beside the others."""
        usage = Usage(100, 20, 60, 30, 5)
        told = form.answer(Answered("r1", "m", "good day", (ToolCall("t", "f", "{}"),), usage=usage, created=7))
        counted = {
            "openai": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
            "responses": {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120},
            "anthropic": {"input_tokens": 10, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 30},
        }[form.name]
        assert counted.items() <= told["usage"].items()
        assert told.get("created", 7) == told.get("created_at", 7) == 7
