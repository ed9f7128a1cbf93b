"""What a stream is made of, before any network: chunks put together, what is told of them, and how long one waits."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from cortexd.domain.messages import ToolCall, Usage
from cortexd.errors import Failure, ProviderError
from cortexd.providers.anthropic.stream import EventCollector
from cortexd.providers.collecting import Collector
from cortexd.providers.openai.stream import ChunkCollector
from cortexd.providers.patience import Patience

DONE = b"[DONE]"


def chunk(finish: str | None = None, usage: object = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode()


def fragment(index: int | None, id_: str | None = None, name: str | None = None, arguments: Any = None) -> bytes:
    row = {"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}
    return chunk(tool_calls=[{key: value for key, value in row.items() if value is not None}])


def fed(*events: bytes, max_bytes: int = 1000) -> ChunkCollector:
    collector = ChunkCollector("asked", max_bytes)
    for event in events:
        collector.feed(event)
    return collector


END = chunk("stop")


class TestChunks:
    def test_texts_that_came_together(self) -> None:
        """Adjacent texts are taken as one, tool calls after them when all are whole, and nothing twice."""
        collector = fed(chunk(role="assistant", content=""), chunk(content="a"), chunk(content="b"))
        assert (collector.take(), collector.take()) == (["ab"], [])
        collector.feed(fragment(0, "i", "n", "{}"))
        collector.feed(chunk("tool_calls"))
        assert collector.take() == []
        collector.end()
        assert collector.take() == [ToolCall("i", "n", "{}")]
        answer = collector.answer()
        assert (answer.content, answer.finish_reason, collector.take()) == ("ab", "tool_calls", [])

    @pytest.mark.parametrize(
        "events",
        [
            [chunk("stop", {"prompt_tokens": 3, "completion_tokens": 2}), DONE],
            [chunk("stop"), b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}', DONE],
            [chunk("stop"), b'{"choices":[{"usage":{"prompt_tokens":3,"completion_tokens":2}}],"usage":null}'],
            [
                chunk(None, {"prompt_tokens": 3, "completion_tokens": 1}),
                chunk("stop", {"prompt_tokens": 3, "completion_tokens": 2}),
            ],
        ],
    )
    def test_places_of_usage(self, events: list[bytes]) -> None:
        """Usage counts wherever it stands; the last one counts."""
        assert fed(chunk(content="a"), *events).answer().usage == Usage(3, 2)

    def test_fragments_in_any_order(self) -> None:
        """Fragments belong together by index, or where a server gives none or always the same, by id."""
        mixed = (fragment(0, "a", "f", ""), fragment(1, "b", "g", '{"x":'), fragment(0, None, None, "{}"))
        answer = fed(*mixed, fragment(1, None, None, "1}"), END, DONE).answer()
        assert answer.tool_calls == (ToolCall("a", "f", "{}"), ToolCall("b", "g", '{"x":1}'))
        for index in (None, 0):
            answer = fed(
                fragment(index, "a", "f", "{}"), fragment(index, "b", "g", "[1"), fragment(index, None, None, "]"), END
            ).answer()
            assert answer.tool_calls == (ToolCall("a", "f", "{}"), ToolCall("b", "g", "[1]"))

    @pytest.mark.parametrize("index", [None, 0])
    def test_fragments_mixed_by_id(self, index: int | None) -> None:
        """Ids that come again tell whose fragment it is; one without an id belongs to the last."""
        mixed = [fragment(index, "a", "f", '{"x"'), fragment(index, "b", "g", "["), fragment(index, "a", None, ":1")]
        answer = fed(*mixed, fragment(index, None, None, "}"), fragment(index, "b", None, "]"), END).answer()
        assert answer.tool_calls == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "[]"))

    def test_arguments_of_other_kinds(self) -> None:
        """Arguments as an object become text, none at all the empty object; a missing id is made up."""
        answer = fed(fragment(0, "a", "f", {"x": "ü"}), fragment(1, None, "g"), chunk("tool_calls")).answer()
        assert [(call.name, call.arguments) for call in answer.tool_calls] == [("f", '{"x": "ü"}'), ("g", "{}")]
        assert answer.tool_calls[0].id == "a"
        assert answer.tool_calls[1].id

    def test_refusals_and_reasoning(self) -> None:
        """A refusal is text with its own reason; reasoning is counted and not heard."""
        collector = fed(
            chunk(reasoning_content="hmm"), chunk(reasoning="ü"), chunk(refusal="no, "), chunk(refusal="never")
        )
        assert (collector.take(), collector.output_bytes) == (["no, never"], 14)
        collector.feed(chunk("stop"))
        assert (collector.answer().content, collector.answer().finish_reason) == ("no, never", "content_filter")

    def test_content_in_parts(self) -> None:
        """Content may come as a list of parts, and is made safe."""
        collector = fed(chunk(content=[{"type": "text", "text": "a\x00"}, {"type": "other"}]), END)
        assert (collector.take(), collector.answer().content) == (["a\ufffd"], "a\ufffd")

    @pytest.mark.parametrize(
        ("events", "failure"),
        [
            ([], Failure.MALFORMED),
            ([DONE], Failure.MALFORMED),
            ([chunk(content="a")], Failure.CONNECTION),
            ([b'{"error":{"message":"m","code":429}}'], Failure.RATE_LIMITED),
            (
                [b'{"error":{"message":"m","code":502},"choices":[{"delta":{},"finish_reason":"error"}]}'],
                Failure.SERVER,
            ),
            ([b'{"choices":7}'], Failure.MALFORMED),
            ([b"nonsense"], Failure.MALFORMED),
            ([chunk(content="x" * 1001)], Failure.MALFORMED),
            ([chunk(reasoning="x" * 1001)], Failure.MALFORMED),
            ([fragment(0, "i", "n", "x" * 1001)], Failure.MALFORMED),
            ([chunk(content="a"), DONE], Failure.CONNECTION),
            ([fragment(0, "i"), END], Failure.MALFORMED),
            ([fragment(n, f"i{n}", "n") for n in range(300)], Failure.MALFORMED),
        ],
    )
    def test_no_answer(self, events: list[bytes], failure: Failure) -> None:
        """What is no answer, or too much of one, is a failure that may have billed."""
        with pytest.raises(ProviderError) as failed:
            fed(*events).answer()
        assert (failed.value.failure, failed.value.may_have_billed) == (failure, True)

    def test_nothing_counts_after_the_end(self) -> None:
        """What follows [DONE] is passed over."""
        collector = fed(chunk(content="a"), END, DONE, chunk(content="b"), b"nonsense")
        assert (collector.complete, collector.answer().content) == (True, "a")


class TestEvents:
    def test_a_tool_call_is_whole_when_its_block_stops(self) -> None:
        """Claude's tool calls are taken one by one, between the texts where they stand; thinking is counted only."""
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 5, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "a"}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "b"}},
            {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "i", "name": "n"}},
            {
                "type": "content_block_delta",
                "index": 2,
                "delta": {"type": "input_json_delta", "partial_json": '{"x":1'},
            },
            {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "}"}},
        ]
        collector: Collector = EventCollector("asked", 1000)
        for event in events:
            collector.feed(json.dumps(event).encode())
        assert (collector.take(), collector.output_bytes, collector.usage) == (["ab"], 11, Usage(5, 1))
        end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}
        for event in ({"type": "content_block_stop", "index": 2}, end, {"type": "message_stop"}):
            collector.feed(json.dumps(event).encode())
        assert collector.take() == [ToolCall("i", "n", '{"x": 1}')]
        assert (collector.answer().content, len(collector.answer().tool_calls), collector.take()) == ("ab", 1, [])


class TestPatience:
    async def test_a_wait_too_long(self) -> None:
        """A wait beyond the limit is a TimeoutError, soon after, and the task is not left cancelled."""
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with Patience(0.1):
                await asyncio.sleep(5)
        assert 0.1 <= time.monotonic() - began < 1
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    async def test_many_short_waits(self) -> None:
        """Waits that each are short enough may add up to more than the limit, and so may any rest."""
        async with Patience(0.1) as patience:
            for _ in range(4):
                await asyncio.sleep(0.04)
                patience.begin()
            patience.rest()
            await asyncio.sleep(0.25)
            patience.begin()
            await asyncio.sleep(0.02)

    async def test_a_wait_after_a_rest(self) -> None:
        """After a rest the limit holds again."""

        async def wait() -> None:
            async with Patience(0.1) as patience:
                patience.rest()
                await asyncio.sleep(0.15)
                patience.begin()
                await asyncio.sleep(5)

        with pytest.raises(TimeoutError):
            await wait()

    async def test_a_cancellation_is_no_timeout(self) -> None:
        """Who is cancelled from elsewhere stays cancelled."""

        async def wait() -> None:
            async with Patience(5):
                await asyncio.sleep(10)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    @pytest.mark.parametrize("resting", [False, True])
    async def test_giving_up(self, resting: bool) -> None:
        """Given up, the wait ends at once; a rest is not disturbed, the wait after it ends."""
        steps: list[str] = []

        async def wait(patience: Patience) -> None:
            async with patience:
                if resting:
                    patience.rest()
                    await asyncio.sleep(0.05)
                    steps.append("rested")
                    patience.begin()
                await asyncio.sleep(10)

        patience = Patience(5)
        task = asyncio.create_task(wait(patience))
        await asyncio.sleep(0.01)
        patience.give_up()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), 1) if not resting else await task
        assert steps == (["rested"] if resting else [])
        assert task.done()
