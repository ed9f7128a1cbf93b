"""What only the Responses API has: its items, its two ends and its failures, each plain and as a stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from cortexd.domain.messages import Answer, Call, ImagePart, Message, Role, TextPart, Tool, ToolCall, Usage
from cortexd.domain.quirks import Quirk, Quirks
from cortexd.errors import Failure, ProviderError
from cortexd.providers.responses.answer import read_answer
from cortexd.providers.responses.request import LEAST_TOKENS, request_body
from cortexd.providers.responses.stream import EventCollector
from cortexd.providers.responses.usage import read_usage

Json = dict[str, Any]
ALL = 10**6
TOOL = Tool("weather", "The weather.", '{"type":"object","properties":{"n":{"const":12345678901234567890.10}}}')
SCHEMA = '{"type":"object","properties":{"a":{"type":"string"}}}'
HI = Message(Role.USER, "hi")


def said(text: str, **more: Any) -> Json:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}], **more}


def called(id_: str = "c", arguments: str = '{"x": 1}', **more: Any) -> Json:
    return {"type": "function_call", "id": f"fc_{id_}", "call_id": id_, "name": "f", "arguments": arguments, **more}


def response(*output: Json, **more: Any) -> Json:
    return {"object": "response", "status": "completed", "model": "m", "output": list(output), **more}


def cut(reason: str | None, *output: Json) -> Json:
    return response(*output, status="incomplete", incomplete_details=reason and {"reason": reason})


def plain(body: Json) -> Answer:
    return read_answer(json.dumps(body).encode(), "asked")


def fed(events: Sequence[Json]) -> EventCollector:
    collector = EventCollector("asked", ALL)
    for event in events:
        collector.feed(json.dumps(event).encode())
    return collector


def of_items(body: Json) -> list[Json]:
    """A stream that says the same answer."""
    events: list[Json] = [{"type": "response.created", "response": {"status": "in_progress", "model": "m"}}]
    for place, item in enumerate(body["output"]):
        where = {"output_index": place, "item_id": item.get("id", "i")}
        begun = {**item, "content": [], "status": "in_progress"}
        events.append({"type": "response.output_item.added", **where, "item": begun})
        for part in item.get("content", ()):
            kind = "refusal" if "refusal" in part else "output_text"
            text = part.get("refusal") or part.get("text")
            events.append({"type": f"response.{kind}.delta", **where, "delta": text})
        events.append({"type": "response.output_item.done", **where, "item": item})
    return [*events, {"type": f"response.{body['status']}", "response": {**body, "output": []}}]


def read(body: Json, *, streamed: bool) -> Answer:
    return fed(of_items(body)).answer() if streamed else plain(body)


def failure_of(body: Json, *, streamed: bool) -> ProviderError:
    with pytest.raises(ProviderError) as failed:
        read(body, streamed=streamed)
    return failed.value


def asked(*messages: Message, quirks: Quirks = frozenset(), **changes: Any) -> Json:
    call = Call(**{"model": "m", "messages": messages or (HI,), "timeout_s": 1.0, "max_tokens": 99, **changes})
    body: Json = json.loads(request_body(call, quirks).whole())
    return body


TEXT: Json = {"type": "response.output_text.delta", "output_index": 0, "delta": "a"}
END: Json = {"type": "response.completed", "response": response()}


class TestRequest:
    def test_the_least(self) -> None:
        """A plain call: nothing is kept at the provider, and no stream is said where none is wanted."""
        assert asked() == {
            "model": "m",
            "input": [{"role": "user", "content": "hi"}],
            "store": False,
            "stream": False,
            "max_output_tokens": 99,
        }

    @pytest.mark.parametrize(("limit", "sent"), [(1, LEAST_TOKENS), (16, 16), (17, 17), (None, None)])
    def test_a_limit(self, limit: int | None, sent: int | None) -> None:
        """Never less than the API takes; none where there is none."""
        assert asked(max_tokens=limit).get("max_output_tokens") == sent

    def test_a_conversation(self) -> None:
        """The system's part apart, calls and results as items, an empty turn of the assistant's as none."""
        wish = (ToolCall("c", "weather", '{"a":1}'),)
        body = asked(
            Message(Role.SYSTEM, "be brief"),
            HI,
            Message(Role.ASSISTANT, "let me see", wish),
            Message(Role.TOOL, "sunny", tool_call_id="c"),
            Message(Role.ASSISTANT, "", (ToolCall("d", "weather", "{}"),)),
            Message(Role.TOOL, "", tool_call_id="d"),
            Message(Role.USER, "and now?", name="bo"),
        )
        assert body["instructions"] == "be brief"
        assert body["input"] == [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "let me see"},
            {"type": "function_call", "call_id": "c", "name": "weather", "arguments": '{"a":1}'},
            {"type": "function_call_output", "call_id": "c", "output": "sunny"},
            {"type": "function_call", "call_id": "d", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "d", "output": ""},
            {"role": "user", "content": "and now?"},
        ]

    def test_an_image(self) -> None:
        """As a data URL, its text beside it."""
        [turn] = asked(Message(Role.USER, (TextPart("see"), ImagePart("image/png", b"hi"))))["input"]
        assert turn["content"] == [
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "auto"},
        ]

    def test_tools(self) -> None:
        """Flat, unchanged to the last digit, and not strict, which would refuse an open schema."""
        call = Call("m", (HI,), 1.0, tools=(TOOL, Tool("bare")))
        assert TOOL.parameters.encode() in request_body(call).whole()
        [tool, bare] = asked(tools=(TOOL, Tool("bare")))["tools"]
        assert [tool[name] for name in ("type", "name", "description", "strict")] == [
            *("function", "weather", "The weather.", False)
        ]
        assert "description" not in bare

    @pytest.mark.parametrize(
        ("choice", "sent"),
        [(word, word) for word in ("auto", "none", "required", None)]
        + [("weather", {"type": "function", "name": "weather"})],
    )
    def test_tool_choice(self, choice: str | None, sent: Any) -> None:
        """Each in this API's words."""
        assert asked(tools=(TOOL,), tool_choice=choice).get("tool_choice") == sent

    def test_a_schema(self) -> None:
        """As text.format, not strict."""
        form = {"type": "json_schema", "name": "answer", "schema": json.loads(SCHEMA), "strict": False}
        assert asked(response_schema=SCHEMA)["text"] == {"format": form}

    @pytest.mark.parametrize(
        ("quirk", "options", "dropped", "gone"),
        [
            (Quirk.NO_TEMPERATURE, {"temperature": 0.0}, "temperature", "temperature"),
            (Quirk.NO_RESPONSE_SCHEMA, {"response_schema": SCHEMA}, "response_schema", "text"),
            (Quirk.NO_FORCED_TOOL, {"tools": (TOOL,), "tool_choice": "required"}, "tool_choice", "tool_choice"),
        ],
    )
    def test_what_a_model_refuses(self, quirk: Quirk, options: Json, dropped: str, gone: str) -> None:
        """Is left out and named; without the quirk it is sent."""
        call = Call("m", (HI,), 1.0, **options)
        assert request_body(call, frozenset({quirk})).dropped_options == (dropped,)
        assert gone not in json.loads(request_body(call, frozenset({quirk})).whole())
        assert request_body(call).dropped_options == ()
        assert gone in json.loads(request_body(call).whole())

    def test_who_takes_no_stream(self) -> None:
        """Is told nothing of one."""
        assert "stream" not in asked(quirks=frozenset({Quirk.NO_STREAM}))


@pytest.mark.parametrize("streamed", [False, True])
class TestAnswers:
    def test_text_and_calls(self, streamed: bool) -> None:
        """Several messages are one text; a call has its call_id, and what is unknown is passed over."""
        odd = {"type": "web_search_call", "id": "ws", "status": "completed"}
        found = read(response(said("a"), odd, said("b"), called(), called("d", "")), streamed=streamed)
        assert (found.content, found.finish_reason, found.model) == ("ab", "tool_calls", "m")
        assert found.tool_calls == (ToolCall("c", "f", '{"x": 1}'), ToolCall("d", "f", "{}"))

    def test_a_call_without_a_call_id(self, streamed: bool) -> None:
        """Has its item's."""
        found = read(response(called(call_id=None)), streamed=streamed)
        assert [call.id for call in found.tool_calls] == ["fc_c"]

    def test_a_refusal(self, streamed: bool) -> None:
        """Is the text, as filtered content."""
        part = {"type": "refusal", "refusal": "I won't"}
        found = read(response({"type": "message", "content": [part]}), streamed=streamed)
        assert (found.content, found.finish_reason) == ("I won't", "content_filter")

    @pytest.mark.parametrize(
        ("reason", "finish"),
        [
            ("max_output_tokens", "length"),
            ("content_filter", "content_filter"),
            ("steered", "steered"),
            (None, "length"),
        ],
    )
    def test_what_is_incomplete(self, streamed: bool, reason: str | None, finish: str) -> None:
        """Says why, and is an answer."""
        assert read(cut(reason, said("a")), streamed=streamed).finish_reason == finish

    def test_a_call_that_was_cut_off(self, streamed: bool) -> None:
        """Is none, however whole it looks; those before it are."""
        half = called("d", status="incomplete")
        found = read(cut("max_output_tokens", called("c", status="completed"), half), streamed=streamed)
        assert [call.id for call in found.tool_calls] == ["c"]
        assert read(cut("max_output_tokens", called("d", '{"x": ')), streamed=streamed).tool_calls == ()

    @pytest.mark.parametrize(
        ("error", "failure"),
        [
            ({"code": "server_error", "message": "m"}, Failure.SERVER),
            ({"code": "rate_limit_exceeded", "message": "m"}, Failure.RATE_LIMITED),
            ({"code": "context_length_exceeded", "message": "m"}, Failure.CONTEXT),
            ({"code": "invalid_prompt", "message": "m"}, Failure.CONTENT),
            ({"code": "image_content_policy_violation", "message": "m"}, Failure.CONTENT),
            ({"code": "invalid_base64_image", "message": "m"}, Failure.REFUSED),
            ({"code": "unheard_of", "message": "m"}, Failure.SERVER),
            (None, Failure.SERVER),
        ],
        ids=str,
    )
    def test_what_failed(self, streamed: bool, error: Any, failure: Failure) -> None:
        """Says which failure it is, and may have cost something."""
        found = failure_of(response(status="failed", error=error), streamed=streamed)
        assert (found.failure, found.may_have_billed) == (failure, True)

    def test_nothing(self, streamed: bool) -> None:
        """Reasoning alone is nothing."""
        thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
        assert failure_of(response(thought), streamed=streamed).failure is Failure.MALFORMED

    def test_usage(self, streamed: bool) -> None:
        """With what was read from the cache, written to it, and thought."""
        usage = {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
            "output_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": 40},
            "total_tokens": 150,
        }
        assert read(response(said("a"), usage=usage), streamed=streamed).usage == Usage(100, 50, 60, 30, 40)


class TestUsage:
    @pytest.mark.parametrize(
        ("usage", "expected"),
        [
            ({"input_tokens": 3, "output_tokens": 2}, Usage(3, 2)),
            ({"input_tokens": 3, "output_tokens": 2, "input_tokens_details": {"cached_tokens": None}}, Usage(3, 2)),
            ({"input_tokens": 3, "output_tokens": 2, "total_tokens": 9}, Usage(3, 6)),
            ({"input_tokens": 3, "output_tokens": 2, "total_tokens": 4}, None),
            ({"input_tokens": 3, "output_tokens": 2, "input_tokens_details": {"cached_tokens": "1"}}, None),
            ({"prompt_tokens": 3, "completion_tokens": 2}, None),
            ({"input_tokens": 0, "output_tokens": 2}, None),
            (None, None),
            ([], None),
        ],
        ids=str,
    )
    def test_what_can_be_counted(self, usage: Any, expected: Usage | None) -> None:
        """The dearest that fits, or nothing."""
        assert read_usage(usage) == expected

    def test_the_later_report(self) -> None:
        """Counts, and takes nothing back where it says less."""
        early = {"type": "response.in_progress", "response": {"usage": {"input_tokens": 40, "output_tokens": 20}}}
        late = {"input_tokens": 40, "output_tokens": 30}
        text = {"type": "response.output_text.delta", "delta": "a"}
        for usage, expected in ((late, Usage(40, 30)), (dict.fromkeys(late, 0), Usage(40, 20)), (None, Usage(40, 20))):
            end = {"type": "response.completed", "response": response(usage=usage)}
            assert fed([early, text, end]).answer().usage == expected


class TestPlain:
    @pytest.mark.parametrize("status", ["in_progress", "queued", "cancelled"])
    def test_what_has_not_ended_well(self, status: str) -> None:
        """Is no answer."""
        with pytest.raises(ProviderError):
            plain(response(said("a"), status=status))

    def test_without_a_status(self) -> None:
        """Some servers say none of an answer that is whole."""
        assert plain(response(said("a"), status=None)).finish_reason == "stop"


class TestStreams:
    @pytest.mark.parametrize("events", [[], [TEXT], [{"type": "response.created"}]])
    @pytest.mark.parametrize("done", [False, True])
    def test_without_its_end(self, events: list[Json], done: bool) -> None:
        """Is broken, whether [DONE] says that this was all or not."""
        collector = fed(events)
        if done:
            collector.feed(b"[DONE]")
        with pytest.raises(ProviderError) as failed:
            collector.end()
        assert failed.value.failure is (Failure.CONNECTION if events else Failure.MALFORMED)

    def test_numbers_say_nothing(self) -> None:
        """Events in disorder by their number are read as they come."""
        rows = [{**TEXT, "sequence_number": number} for number in (7, 7, 1)]
        assert fed([*rows, {**END, "sequence_number": 0}]).answer().content == "aaa"

    @pytest.mark.parametrize(
        "event", [{"type": "response.unheard.of", "message": "m", "code": "c"}, {"type": "keepalive"}, {"type": "x"}]
    )
    def test_unknown_events(self, event: Json) -> None:
        """Are passed over, also where they hold what looks like an error's text."""
        assert fed([TEXT, event, END]).answer().content == "a"

    @pytest.mark.parametrize(
        "event",
        [
            {"type": "error", "code": "rate_limit_exceeded", "message": "m", "param": None},
            {"type": "error", "error": {"code": "rate_limit_exceeded", "message": "m"}},
            {"error": {"code": "rate_limit_exceeded", "message": "m"}},
            {"type": "response.unheard.of", "error": {"code": "rate_limit_exceeded", "message": "m"}},
        ],
        ids=str,
    )
    def test_errors(self, event: Json) -> None:
        """In every form, and what was said before may have cost something."""
        with pytest.raises(ProviderError) as failed:
            fed([TEXT, event])
        assert (failed.value.failure, failed.value.may_have_billed) == (Failure.RATE_LIMITED, True)

    def test_a_failure_after_its_usage(self) -> None:
        """What the failed response has used is known."""
        collector = fed([TEXT])
        usage = {"input_tokens": 40, "output_tokens": 30}
        failed = {"type": "response.failed", "response": response(status="failed", usage=usage)}
        with pytest.raises(ProviderError):
            collector.feed(json.dumps(failed).encode())
        assert collector.usage == Usage(40, 30)

    def test_what_only_the_end_says(self) -> None:
        """Text, calls and reasoning of a server that sends no deltas; what was heard counts once."""
        thought = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}
        end = {"type": "response.completed", "response": response(thought, said("a"), called())}
        for events in ([end], [TEXT, {"type": "response.reasoning_text.delta", "delta": "hm"}, end]):
            found = fed(events).answer()
            assert (found.content, found.reasoning) == ("a", "hm")
            assert [call.id for call in found.tool_calls] == ["c"]

    def test_a_call_is_given_when_it_is_done(self) -> None:
        """Before the answer ends; without arguments when it ends, as it may be half of one."""
        for arguments, given in (('{"x": 1}', 1), ("", 0)):
            events = of_items(response(called(arguments=arguments)))
            collector = fed(events[:-1])
            assert len(collector.take()) == given
            collector.feed(json.dumps(events[-1]).encode())
            assert len(collector.answer().tool_calls) == 1

    def test_pieces_of_no_call(self) -> None:
        """Are nonsense."""
        with pytest.raises(ProviderError) as failed:
            fed([{"type": "response.function_call_arguments.delta", "output_index": 3, "item_id": "i", "delta": "{"}])
        assert failed.value.failure is Failure.MALFORMED

    def test_arguments_count(self) -> None:
        """All that is held is bounded, in whichever event it comes."""
        big = json.dumps({"x": "y" * 600})
        for name in ("response.output_item.added", "response.output_item.done"):
            collector = EventCollector("asked", 1000)
            collector.feed(json.dumps({"type": name, "output_index": 0, "item": called("a", big)}).encode())
            with pytest.raises(ProviderError) as failed:
                collector.feed(json.dumps({"type": name, "output_index": 1, "item": called("b", big)}).encode())
            assert failed.value.failure is Failure.MALFORMED
