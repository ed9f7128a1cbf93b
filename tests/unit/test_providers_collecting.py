"""One stream put together: many events at once as one by one, what is kept of it, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cortexd.domain.messages import Answer, ToolCall, Usage
from cortexd.errors import Failure, ProviderError
from cortexd.providers.anthropic.stream import EventCollector
from cortexd.providers.collecting import MAX_REASONING_BYTES, Collector
from cortexd.providers.openai.stream import ChunkCollector
from cortexd.providers.responses.stream import EventCollector as ResponseCollector
from cortexd.providers.sse import EventSplitter

COLLECTORS: dict[str, type[Collector]] = {
    "openai": ChunkCollector,
    "anthropic": EventCollector,
    "responses": ResponseCollector,
}
each = pytest.mark.parametrize("api", list(COLLECTORS))
MOST = 10**6
Rows = Sequence[dict[str, Any]]


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"delta": delta, "finish_reason": finish}]}


def block(number: int, kind: str, *deltas: dict[str, Any], stops: bool = True, **fields: Any) -> list[dict[str, Any]]:
    rows = [{"type": "content_block_start", "index": number, "content_block": {"type": kind, **fields}}]
    rows += [{"type": "content_block_delta", "index": number, "delta": delta} for delta in deltas]
    return [*rows, {"type": "content_block_stop", "index": number}] if stops else rows


def start(**message: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 5}, **message}}


def change(why: str | None = "end_turn", **usage: int) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": why}, "usage": usage}


STOP = {"type": "message_stop"}
CREATED = {"type": "response.created", "response": {"status": "in_progress", "model": "m", "output": []}}
COMPLETED = {"type": "response.completed", "response": {"status": "completed", "output": []}}
END = {"openai": [chunk("stop")], "anthropic": [change(output_tokens=3), STOP], "responses": [COMPLETED]}
BEGINS = {"openai": 0, "anthropic": 2, "responses": 1}  # events of `told` before the first text


def delta(text: Any, kind: str = "output_text", **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "output_index": 0, "item_id": "i", "delta": text, **more}


def told(api: str, *texts: str) -> list[dict[str, Any]]:
    """A stream that says these texts, one by one, without its end."""
    if api == "openai":
        return [chunk(content=text) for text in texts]
    if api == "responses":
        return [CREATED, *map(delta, texts)]
    return [start(), *block(0, "text", *({"type": "text_delta", "text": text} for text in texts), text="")]


def line(api: str, row: dict[str, Any], space: str) -> bytes:
    name = f"event: {row['type']}\n" if api != "openai" else ""
    return f"{name}data:{space}{json.dumps(row)}\n\n".encode()


def fed(api: str, *rows: dict[str, Any] | bytes, most: int = MOST) -> Collector:
    collector = COLLECTORS[api]("asked", most)
    for row in rows:
        collector.feed(row if isinstance(row, bytes) else json.dumps(row).encode())
    return collector


def failure_of(api: str, *rows: dict[str, Any] | bytes, name: str = "") -> tuple[Failure, bool, str]:
    """What the last of the events, or then the end, is a failure for."""
    collector = fed(api, *rows[:-1])

    def finish() -> None:
        collector.feed(rows[-1] if isinstance(rows[-1], bytes) else json.dumps(rows[-1]).encode(), name)
        collector.end()

    with pytest.raises(ProviderError) as failed:
        finish()
    return failed.value.failure, failed.value.may_have_billed, failed.value.message


USAGE = {"prompt_tokens": 5, "completion_tokens": 300}
CALL = {"index": 0, "id": "i", "function": {"name": "f", "arguments": "{}"}}
# Beside a text that comes among others, or in place of one: what makes an event more than a piece of text.
BESIDE: dict[str, list[dict[str, Any]]] = {
    "openai": [
        *({**chunk(content="x"), name: value} for name, value in (("usage", USAGE), ("x_groq", {"usage": USAGE}))),
        {**chunk(content="x"), "timings": {"prompt_n": 5, "predicted_n": 300}},
        {**chunk(content="x"), "error": {"code": 429, "message": "m"}},
        *({"choices": [{"delta": {"content": "x"}, **more}]} for more in ({"usage": USAGE}, {"error": "m"})),
        {"choices": [{"delta": {"content": "x"}, "message": {"content": "y"}}]},
        {"choices": [{"message": {"content": "y"}}]},
        {"choices": []},
        {"model": "other"},
        chunk("length", content="x"),
        chunk("error", content="x"),
        *(chunk(content="x", **{name: "y"}) for name in ("refusal", "reasoning", "reasoning_content")),
        chunk(content="x", tool_calls=[CALL]),
        *(chunk(content=content) for content in ("", None, [], [{"text": "x"}], ["x"])),
        chunk(refusal="x"),
    ],
    "anthropic": [
        {"type": "content_block_delta", "index": 0, "delta": {"text": "x"}, "error": {"code": 429, "message": "m"}},
        {"type": "content_block_delta", "index": 0, "delta": {"text": "x", "thinking": "y"}},
        {"type": "content_block_delta", "index": 0, "delta": {"text": ""}},
        {"type": "content_block_delta", "index": 0},
        {"type": "content_block_delta", "index": 7, "delta": {"text": "x"}},
        {"type": "message_delta", "delta": {"text": "x", "stop_reason": "max_tokens"}},
        {"type": "content_block_stop", "index": 0, "delta": {"text": "x"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "x"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
    ],
    "responses": [
        delta("x", error={"code": "rate_limit_exceeded", "message": "m"}),
        *map(delta, ("", None, 7, ["x"])),
        *(delta("x", kind) for kind in ("refusal", "reasoning_text", "reasoning_summary_text")),
        delta("x", "function_call_arguments"),
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"type": "function_call", "id": "i", "name": "f"},
        },
        {"type": "response.output_text.done", "text": "x"},
        {"type": "response.in_progress", "response": {"model": "other", "usage": {"input_tokens": 5}}},
        {"type": "response.in_progress"},
        {"type": "response.unheard.of", "message": "x", "code": "y"},
        {"type": "error", "code": "server_error", "message": "m"},
        {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "m"}}},
        {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}},
        {"type": "response.completed"},
    ],
}


def attempted(what: Callable[[], object]) -> object:
    try:
        return what()
    except ProviderError as error:
        return error.failure, error.message, error.may_have_billed


def without_model(rows: Rows) -> list[dict[str, Any]]:
    return json.loads(json.dumps(rows).replace('"model": ', '"other": '))  # type: ignore[no-any-return]


class TestReading:
    @pytest.mark.parametrize(
        ("api", "row"), [(api, row) for api, rows in BESIDE.items() for row in rows], ids=lambda value: str(value)[:90]
    )
    @pytest.mark.parametrize("place", [0, 20, 40])
    @pytest.mark.parametrize("ends", [True, False])
    @pytest.mark.parametrize("named", [True, False])
    def test_at_once_as_one_by_one(self, api: str, row: dict[str, Any], place: int, ends: bool, named: bool) -> None:
        """Whatever stands among the texts of a long packet, and where: the same answer, or the same failure."""
        rows = told(api, *(f"word {number}, " for number in range(40)))
        place += BEGINS[api]
        rows = [*rows[:place], row, *rows[place:], *(END[api] if ends else [])]
        rows = rows if named else without_model(rows)
        one_by_one, at_once = COLLECTORS[api]("asked", MOST), COLLECTORS[api]("asked", MOST)

        def each() -> object:
            for every in rows:
                one_by_one.feed(json.dumps(every).encode())
            return one_by_one.answer()

        def all_() -> object:
            at_once.read(b"".join(line(api, every, " ") for every in rows), EventSplitter())
            return at_once.answer()

        assert attempted(all_) == attempted(each)
        assert at_once.take(last=True) == one_by_one.take(last=True)

    @pytest.mark.parametrize(
        "beside", [{"x_groq": {"usage": USAGE}}, {"timings": {"prompt_n": 5, "predicted_n": 300}}, {"usage": USAGE}]
    )
    def test_usage_beside(self, beside: dict[str, Any]) -> None:
        """Counts wherever a server puts it."""
        rows = [*told("openai", "word " * 100), {**chunk("stop"), **beside}]
        assert fed("openai", *rows).answer().usage == Usage(5, 300)

    @each
    @pytest.mark.parametrize("space", [" ", "", "  "])
    def test_many_at_once(self, api: str, space: str) -> None:
        """A long packet says what its events say, whatever stands before their data."""
        texts = [f"word {number}, " for number in range(40)]
        body = b"".join(line(api, row, space) for row in (*told(api, *texts), *END[api]))
        collector = COLLECTORS[api]("asked", MOST)
        assert collector.read(body, EventSplitter()) is True
        assert collector.answer().content == "".join(texts)

    def test_nothing_counts_after_the_end(self) -> None:
        """Nor in the same packet; and what says nothing in it is passed over."""
        rows = [line("openai", row, " ") for row in (*told("openai", *(["word "] * 40)), chunk("stop"))]
        rest = [b"data: {}\n\n", b"data:\n\n", b"data: [DONE]\n\n", line("openai", chunk(content="more"), " ")]
        collector = fed("openai")
        collector.read(b"".join([*rows[:2], *rest[:2], *rows[2:], *rest[2:]]), EventSplitter())
        assert (collector.complete, collector.answer().content) == (True, "word " * 40)

    @each
    def test_whether_it_said_anything(self, api: str) -> None:
        """Comments and blank lines say nothing; whole events do, and so does each piece of one."""
        collector, splitter = fed(api), EventSplitter()
        row = line(api, told(api, "a")[0], " ")
        packets = [b"", b"\n", b": ping\n\n", row[:20], row[20:], row, b": ping\n\n", b"data: {}\n\n"]
        assert [collector.read(packet, splitter) for packet in packets] == [*[False] * 3, *[True] * 3, False, False]


class TestKept:
    @each
    def test_the_model(self, api: str) -> None:
        """The one that was named first, or the one that was asked for."""
        rows = [*told(api, "a"), *END[api]]
        assert fed(api, *rows).answer().model == "m"
        bare = json.loads(json.dumps(rows).replace('"model": "m"', '"other": "m"'))
        assert fed(api, *bare).answer().model == "asked"
        assert fed("openai", chunk(content="a"), {**chunk("stop"), "model": "n"}).answer().model == "m"

    @each
    def test_whether_usage_was_reported(self, api: str) -> None:
        """Also one that cannot be counted."""
        collector = fed(api)
        assert (collector.reported, collector.usage) == (False, None)
        usage = {"input_tokens": "x"}
        reporting = {
            "openai": {"choices": [], "usage": {"prompt_tokens": "x"}},
            "anthropic": start(usage=usage),
            "responses": {"type": "response.in_progress", "response": {"usage": usage}},
        }
        collector.feed(json.dumps(reporting[api]).encode())
        assert (collector.reported, collector.usage) == (True, None)

    @pytest.mark.parametrize(("size", "kept"), [(MAX_REASONING_BYTES, True), (MAX_REASONING_BYTES + 1, False)])
    @each
    def test_reasoning_to_its_bound(self, api: str, size: int, kept: bool) -> None:
        """Whole or not at all; what follows it is heard either way."""
        pieces = ["t" * (size - 3), "e", "é"]
        thoughts = {
            "openai": [chunk(reasoning_content=piece) for piece in pieces],
            "anthropic": [start(), *block(1, "thinking", *({"thinking": piece} for piece in pieces), thinking="")],
            "responses": [delta(piece, "reasoning_text") for piece in pieces],
        }
        said = block(0, "text", {"text": "a"}) if api == "anthropic" else told(api, "a")
        answer = fed(api, *thoughts[api], *said, *END[api]).answer()
        assert (answer.content, answer.reasoning) == ("a", "".join(pieces) if kept else "")

    def test_reasoning_that_grows(self) -> None:
        """By being made safe: what is kept is within the bound, or not at all."""
        rows = [chunk(reasoning="\x00" * (MAX_REASONING_BYTES // 2)), *told("openai", "a"), *END["openai"]]
        assert fed("openai", *rows).answer().reasoning == ""

    def test_usage_of_much_reasoning(self) -> None:
        """Is believed by what was said and what was thought, each for itself."""
        usage = {"prompt_tokens": 5, "completion_tokens": 400, "completion_tokens_details": {"reasoning_tokens": 390}}
        rows = [*[chunk(reasoning="t" * 5_000)] * 2, *told("openai", "a"), {**chunk("stop"), "usage": usage}]
        assert fed("openai", *rows).answer().usage == Usage(5, 400, 0, 0, 390)

    @each
    @pytest.mark.parametrize("whole", ["\U00010000", "\U0001f600", "\U0010fc00"])
    def test_half_a_character_at_the_end(self, api: str, whole: str) -> None:
        """Waits for the other half as long as one may come."""
        code = ord(whole) - 0x10000
        half, other = chr(0xD800 + (code >> 10)), chr(0xDC00 + (code & 0x3FF))
        assert fed(api, *told(api, f"a{half}")).take() == ["a"]
        collector = fed(api, *told(api, f"a{half}"))
        assert collector.take(last=True) == ["a\ufffd"]
        assert fed(api, *told(api, f"a{half}", f"{other}b"), *END[api]).answer().content == f"a{whole}b"
        assert fed(api, *told(api, f"a{half}"), *END[api]).answer().content == "a\ufffd"

    def test_half_a_character_before_a_call(self) -> None:
        """Is told before it."""
        rows = [*told("anthropic", "a\ud83d"), *block(1, "tool_use", id="i", name="f", input={"x": 1})]
        assert fed("anthropic", *rows).take() == ["a\ufffd", ToolCall("i", "f", '{"x": 1}')]

    @each
    def test_output_to_its_bound(self, api: str) -> None:
        """In bytes; one more is too much."""
        rows = told(api, "é" * 5)
        assert fed(api, *rows, *END[api], most=10).answer().content == "é" * 5
        with pytest.raises(ProviderError):
            fed(api, *told(api, "é" * 5, "a"), most=10)


class TestChunks:
    @pytest.mark.parametrize("name", ["ping", "PING", "keep-alive", "heartbeat"])
    def test_pings_need_no_json(self, name: str) -> None:
        """By the event's name; another name hides no nonsense."""
        collector = fed("openai", chunk(content="a"))
        collector.feed(b"now", name)
        assert failure_of("openai", b"now", name="news")[:2] == (Failure.MALFORMED, True)

    @pytest.mark.parametrize(
        "row",
        [
            {"choices": [{"error": {"code": 429, "message": "m"}}]},
            {"choices": 7, "error": {"code": 429, "message": "m"}},
            {"choices": [{"delta": {}}], "error": {"code": 429, "message": "m"}},
            {"code": 429, "message": "m"},
        ],
    )
    def test_failures(self, row: dict[str, Any]) -> None:
        """In a choice, beside one, or in its place."""
        assert failure_of("openai", row) == (Failure.RATE_LIMITED, True, "m")

    @pytest.mark.parametrize(
        ("row", "failure"),
        [
            ({}, Failure.MALFORMED),
            ({"usage": {"prompt_tokens": 1}}, Failure.MALFORMED),
            ({"model": "m"}, Failure.CONNECTION),
            ({"choices": [{"delta": {}}]}, Failure.CONNECTION),
        ],
    )
    def test_no_end(self, row: dict[str, Any], failure: Failure) -> None:
        """What has begun as an answer broke off; what has not is none."""
        assert failure_of("openai", row)[:2] == (failure, True)

    @pytest.mark.parametrize(
        ("rows", "content", "finish"),
        [
            ([{"choices": [{"message": {"content": "a"}}]}], "a", "stop"),
            ([chunk(content="a"), {"choices": [{"message": {"content": "b"}}]}], "a", "stop"),
            ([chunk(refusal="a"), {"choices": [{"message": {"content": "b"}}]}], "a", "content_filter"),
            ([chunk(refusal="a"), chunk(content="b"), chunk(refusal="c")], "ab", "stop"),
            ([{"choices": [{"delta": {"content": "a"}, "message": {"content": "b"}}]}], "a", "stop"),
            ([{"choices": [{"delta": {}, "message": {"content": "b"}}]}], "b", "stop"),
            ([chunk(content=["x", {"text": "a"}, {"text": 7}])], "a", "stop"),
            ([chunk("length", content="a"), chunk("", content="b"), chunk()], "ab", "length"),
        ],
    )
    def test_content(self, rows: Rows, content: str, finish: str) -> None:
        """A whole message counts where no delta said anything; a refusal where there is no content."""
        answer = fed("openai", *rows, *([] if finish == "length" else [chunk("stop")])).answer()
        assert (answer.content, answer.finish_reason) == (content, finish)

    def test_a_message_after_fragments(self) -> None:
        """Says nothing new, nor does an end of the second time."""
        call = {"index": 0, "id": "i", "function": {"name": "f", "arguments": "{}"}}
        collector = fed("openai", chunk(tool_calls=[call]), {"choices": [{"message": {"tool_calls": [call]}}]})
        collector.feed(json.dumps(chunk("stop")).encode())
        collector.end()
        collector.end()
        assert collector.take() == [ToolCall("i", "f", "{}")]
        assert collector.answer().finish_reason == "tool_calls"

    def test_reasoning_of_either_name(self) -> None:
        """The more usual one where both say something."""
        rows = [chunk(reasoning_content="a", reasoning="x"), chunk(reasoning="b"), chunk(reasoning=["c"])]
        assert fed("openai", *rows, *told("openai", "d"), *END["openai"]).answer().reasoning == "ab"

    @each
    def test_a_program_may_end_it(self, api: str) -> None:
        """Then it is whole, with the reason that was given or the usual one."""
        cut = {"incomplete_details": {"reason": "max_output_tokens"}}
        ends: dict[str, tuple[Rows, Rows]] = {
            "openai": ([chunk(None)], [chunk("length")]),
            "anthropic": ([change(None), STOP], [change("max_tokens"), STOP]),
            "responses": ([], [{"type": "response.incomplete", "response": cut}]),
        }
        for end, expected in zip(ends[api], ("stop", "length"), strict=True):
            collector = fed(api, *told(api, "a"), *end)
            collector.finish()
            assert collector.answer().finish_reason == expected


def answer_of(*rows: dict[str, Any]) -> Answer:
    return fed("anthropic", *rows).answer()


class TestEvents:
    def test_pings_need_no_json(self) -> None:
        """By the event's name."""
        collector = fed("anthropic", start())
        collector.feed(b"now", "ping")
        assert failure_of("anthropic", start(), b"now", name="news")[:2] == (Failure.MALFORMED, True)

    @pytest.mark.parametrize(
        "row",
        [
            {"type": 7, "error": {"code": 429, "message": "m"}},
            {"type": "content_block_stop", "error": {"code": 429, "message": "m"}},
            {"type": "error", "code": 429, "message": "m"},
            {"type": "new", "detail": "m", "status": 429},
        ],
    )
    def test_failures(self, row: dict[str, Any]) -> None:
        """In an event out of shape, beside a known one, or as one of their own."""
        assert failure_of("anthropic", start(), row) == (Failure.RATE_LIMITED, True, "m")

    @pytest.mark.parametrize(
        ("rows", "failure"),
        [
            ([change()], Failure.MALFORMED),
            ([STOP], Failure.MALFORMED),
            ([start(), STOP], Failure.CONNECTION),
            ([start(), change()], Failure.CONNECTION),
            ([start(stop_reason="overloaded")], Failure.OVERLOADED),
            ([start(), change("overloaded")], Failure.OVERLOADED),
            ([start(), change(), STOP], Failure.MALFORMED),
        ],
    )
    def test_no_answer(self, rows: Rows, failure: Failure) -> None:
        """Whole is what began, said why it ended and that it did, and holds something."""
        assert failure_of("anthropic", *rows)[:2] == (failure, True)

    @pytest.mark.parametrize(
        ("said", "usage"), [({"output_tokens": 3}, Usage(5, 3)), ({"output_tokens": 0}, None), ({}, None)]
    )
    def test_output_must_be_said(self, said: dict[str, int], usage: Usage | None) -> None:
        """What the start guessed of it is none; what was said once stays."""
        rows = [start(usage={"input_tokens": 5, "output_tokens": 1}), *block(0, "text", text="a")]
        assert answer_of(*rows, change("end_turn", **said), change(None), STOP).usage == usage

    def test_pieces_in_blocks_of_other_kinds(self) -> None:
        """Count as reasoning, and are not heard; a block of unknown kind may stand anywhere."""
        others = block(3, "new", {"text": "abc"}, {"partial_json": "de"}, {"thinking": "f"}, {})
        mixed = block(1, "tool_use", {"text": "no"}, {"partial_json": "{}"}, id="i", name="f")
        collector = fed("anthropic", start(), *others, *mixed, *block(0, "text", {"text": "hi"}, {"thinking": "g"}, {}))
        assert (collector.take(), collector.output_bytes) == ([ToolCall("i", "f", "{}"), "hi"], 12)

    def test_calls_come_when_they_are_whole(self) -> None:
        """An object when its block stops, once; anything else, and nothing, when the answer ends."""
        objects = block(0, "tool_use", {"partial_json": '{"x":'}, {"partial_json": "1}"}, id="a", name="f")
        given = block(1, "tool_use", id="b", name="g", input={"y": 2})
        blank = block(2, "tool_use", {"partial_json": " "}, id="c", name="h", input={})
        collector = fed("anthropic", start(), *objects, *given, *blank)
        whole = [ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "g", '{"y": 2}')]
        assert collector.take() == whole
        for row in ({"type": "content_block_stop", "index": 0}, change("tool_use"), STOP):
            collector.feed(json.dumps(row).encode())
        collector.end()
        collector.end()
        assert collector.take() == [ToolCall("c", "h", "{}")]
        assert collector.answer().tool_calls == (*whole, ToolCall("c", "h", "{}"))

    def test_calls_that_were_cut_off(self) -> None:
        """The last one where nothing of it came, and any that is half; an earlier one without arguments stays."""
        names = ("a", "b", "c")
        blank = [row for number, name in enumerate(names) for row in block(number, "tool_use", id=name, name=name)]
        half = block(3, "tool_use", {"partial_json": "{"}, stops=False, id="d", name="d")
        end = [change("max_tokens"), STOP]
        assert [call.name for call in answer_of(start(), *blank, *end).tool_calls] == ["a", "b"]
        assert [call.name for call in answer_of(start(), *blank, *half, *end).tool_calls] == ["a", "b", "c"]
        assert failure_of("anthropic", start(), *half, change(), STOP)[:2] == (Failure.MALFORMED, True)

    @pytest.mark.parametrize(("kind", "most"), [("text", 4096), ("tool_use", 256)])
    def test_blocks_are_bounded(self, kind: str, most: int) -> None:
        """And calls among them, to the last one."""
        rows = [{"type": "content_block_start", "index": 0, "content_block": {"type": kind}}] * (most + 1)
        fed("anthropic", start(), *rows[:most])
        assert failure_of("anthropic", start(), *rows)[:2] == (Failure.MALFORMED, True)
