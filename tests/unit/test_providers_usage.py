"""Every vendor's usage object, and figures that cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortexd.domain.messages import Usage
from cortexd.providers.anthropic.stream import EventCollector
from cortexd.providers.anthropic.usage import later_usage as later_anthropic
from cortexd.providers.anthropic.usage import read_usage as read_anthropic
from cortexd.providers.openai.answer import read_answer
from cortexd.providers.openai.stream import ChunkCollector
from cortexd.providers.openai.usage import later_usage, read_usage, usage_beside
from cortexd.providers.usage import believable, believable_prompt

SUM = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
CACHED = {**SUM, "prompt_tokens_details": {"cached_tokens": 64}}
OPENAI: dict[str, tuple[dict[str, Any], Usage | None]] = {
    "OpenAI": (
        {
            **SUM,
            "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 40, "accepted_prediction_tokens": 0},
        },
        Usage(100, 50, 64, 0, 40),
    ),
    "OpenAI's Responses names": (
        {
            "input_tokens": 100,
            "output_tokens": 50,
            "total_tokens": 150,
            "input_tokens_details": {"cached_tokens": 64},
            "output_tokens_details": {"reasoning_tokens": 40},
        },
        Usage(100, 50, 64, 0, 40),
    ),
    "Moonshot": ({**SUM, "cached_tokens": 64}, Usage(100, 50, 64)),
    "DeepSeek": (
        {**SUM, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
        Usage(100, 50, 64),
    ),
    "DeepSeek behind a proxy that knows no cache": (
        {**SUM, "prompt_cache_hit_tokens": 64, "prompt_tokens_details": {"cached_tokens": 0}},
        Usage(100, 50, 64),
    ),
    "DeepSeek, hit and miss more than the prompt": (
        {**SUM, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 50},
        None,
    ),
    "DashScope, explicit cache": (
        {**SUM, "prompt_tokens_details": {"cached_tokens": 0, "cache_creation_input_tokens": 80}},
        Usage(100, 50, 0, 80),
    ),
    "vLLM 0.32": ({**SUM, "prompt_tokens_details": None}, Usage(100, 50)),
    "SGLang 0.5": ({**SUM, "prompt_tokens_details": {"cached_tokens": 64}, "reasoning_tokens": 0}, Usage(100, 50, 64)),
    "LiteLLM 1.108, of a model at Anthropic": (
        {
            **SUM,
            "cache_read_input_tokens": 64,
            "cache_creation_input_tokens": 30,
            "prompt_tokens_details": {"cached_tokens": 64, "cache_creation_tokens": 30, "text_tokens": None},
        },
        Usage(100, 50, 64, 30),
    ),
    "OpenRouter": (
        {**SUM, "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 20}, "cost": 0.01},
        Usage(100, 50, 64, 20),
    ),
    "Groq": ({**SUM, "queue_time": 0.1, "prompt_time": 0.01, "total_time": 0.5}, Usage(100, 50)),
    "xAI: reasoning beside the output": (
        {**SUM, "total_tokens": 550, "completion_tokens_details": {"reasoning_tokens": 400}},
        Usage(100, 450, 0, 0, 400),
    ),
    "xAI, without a total": (
        {"prompt_tokens": 100, "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 400}},
        Usage(100, 450, 0, 0, 400),
    ),
    "Gemini: reasoning in the total alone": ({**SUM, "total_tokens": 550}, Usage(100, 450)),
    "a cache beside the prompt": (
        {**SUM, "total_tokens": 5150, "prompt_tokens_details": {"cached_tokens": 5000}},
        Usage(5100, 50, 5000),
    ),
    "a cache and reasoning beside": (
        {
            **SUM,
            "total_tokens": 5550,
            "prompt_tokens_details": {"cached_tokens": 5000},
            "completion_tokens_details": {"reasoning_tokens": 400},
        },
        Usage(5100, 450, 5000, 0, 400),
    ),
    "a total that nothing explains, and a cache": (
        {**SUM, "total_tokens": 777, "prompt_tokens_details": {"cached_tokens": 5000}},
        None,
    ),
    "a total that is less": ({**SUM, "total_tokens": 149}, None),
    "a total of zero": ({**SUM, "total_tokens": 0}, Usage(100, 50)),
    "a total that is text": ({**SUM, "total_tokens": "150"}, None),
    "reasoning above the output, in a total that agrees": (
        {**SUM, "completion_tokens_details": {"reasoning_tokens": 400}},
        None,
    ),
    "reasoning that is all of the output": (
        {"prompt_tokens": 100, "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 50}},
        Usage(100, 50, 0, 0, 50),
    ),
    "read and written beside the prompt": (
        {**SUM, "total_tokens": 5450, "cached_tokens": 5000, "cache_creation_input_tokens": 300},
        Usage(5400, 50, 5000, 300),
    ),
    "read and written, together more than the prompt": (
        {"prompt_tokens": 100, "completion_tokens": 50, "cached_tokens": 80, "cache_creation_input_tokens": 60},
        Usage(240, 50, 80, 60),
    ),
    "the same with a total that nothing explains": (
        {**SUM, "total_tokens": 777, "cached_tokens": 80, "cache_creation_input_tokens": 60},
        None,
    ),
    "a total that nothing explains, and all of the prompt cached": (
        {**SUM, "total_tokens": 777, "cached_tokens": 100},
        Usage(100, 677, 100),
    ),
    "a total that holds as much of the cache as of the reasoning": (
        {
            **SUM,
            "total_tokens": 190,
            "prompt_tokens_details": {"cached_tokens": 40},
            "completion_tokens_details": {"reasoning_tokens": 40},
        },
        Usage(100, 90, 40, 0, 40),
    ),
    "DeepSeek, more missed than the prompt and nothing hit": (
        {"prompt_tokens": 100, "completion_tokens": 50, "prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": 120},
        Usage(120, 50),
    ),
    "both APIs' names, zeros under one": (
        {"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 100, "output_tokens": 50},
        Usage(100, 50),
    ),
    "both APIs' names, with other figures": (
        {"prompt_tokens": 100, "completion_tokens": 50, "input_tokens": 1_000, "output_tokens": 20},
        Usage(1_000, 50),
    ),
    "both APIs' names, against the total": (
        {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "input_tokens": 1_000},
        None,
    ),
    "both APIs' names, one no figure": ({"prompt_tokens": 100, "completion_tokens": 50, "input_tokens": "many"}, None),
    "an empty answer": ({"prompt_tokens": 100, "completion_tokens": 0}, Usage(100, 0)),
    "no output said": ({"prompt_tokens": 100}, None),
    "no prompt said": ({"completion_tokens": 50}, None),
    "the most that is a count": ({"prompt_tokens": 100, "completion_tokens": 100_000_000}, Usage(100, 100_000_000)),
    "one more than the most": ({"prompt_tokens": 100, "completion_tokens": 100_000_001}, None),
    "a cache that is text in the first place": ({**CACHED, "cached_tokens": "64"}, None),
    "a cache that is text in another": (
        {**SUM, "prompt_tokens_details": {"cached_tokens": "64"}, "cached_tokens": 64},
        None,
    ),
    "whole floats": ({"prompt_tokens": 100.0, "completion_tokens": 50.0}, Usage(100, 50)),
    "a fraction": ({**SUM, "completion_tokens": 50.5}, None),
    "a truth value": ({**SUM, "prompt_tokens": True}, None),
    "a negative cache": ({**SUM, "prompt_tokens_details": {"cached_tokens": -5}}, None),
    "nothing": ({}, None),
}
ANTHROPIC: dict[str, tuple[dict[str, Any], Usage | None]] = {
    "Anthropic": (
        {
            "input_tokens": 10,
            "output_tokens": 50,
            "cache_read_input_tokens": 60,
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 0},
            "output_tokens_details": {"thinking_tokens": 20},
        },
        Usage(100, 50, 60, 30, 20),
    ),
    "what was written stands in its parts alone": (
        {"input_tokens": 10, "output_tokens": 5, "cache_creation": {"ephemeral_5m_input_tokens": 30}},
        Usage(40, 5, 0, 30),
    ),
    "kept for an hour": (
        {"input_tokens": 10, "output_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 30}},
        Usage(40, 5, 0, 30, 0, 30),
    ),
    "kept for an hour, in part": (
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_creation_input_tokens": 70,
            "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 30},
        },
        Usage(80, 5, 0, 70, 0, 30),
    ),
    "kept for an hour: a fraction": (
        {"input_tokens": 10, "output_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 0.5}},
        None,
    ),
    "all of the prompt from the cache": (
        {"input_tokens": 0, "output_tokens": 5, "cache_read_input_tokens": 60},
        Usage(60, 5, 60),
    ),
    "null caches": (
        {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": None, "cache_creation": None},
        Usage(10, 5),
    ),
    "thinking that is more than all": (
        {"input_tokens": 10, "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 20}},
        Usage(10, 25, 0, 0, 20),
    ),
    "written: text": ({"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": "9"}, None),
    "the parts say more was written than the sum": (
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_creation_input_tokens": 20,
            "cache_creation": {"ephemeral_5m_input_tokens": 30},
        },
        Usage(40, 5, 0, 30),
    ),
    "nothing written": ({"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 0}, Usage(10, 5)),
    "no prompt said beside a cache": ({"output_tokens": 5, "cache_read_input_tokens": 60}, None),
    "no prompt": ({"input_tokens": 0, "output_tokens": 5}, None),
}


class TestShapes:
    @pytest.mark.parametrize("name", OPENAI)
    def test_openai(self, name: str) -> None:
        """Each server's figures are found, and contradictions read as dear as they can be meant."""
        row, expected = OPENAI[name]
        assert read_usage(row) == expected

    @pytest.mark.parametrize("name", ANTHROPIC)
    def test_anthropic(self, name: str) -> None:
        """The same at Anthropic, where the prompt is a sum."""
        row, expected = ANTHROPIC[name]
        assert read_anthropic(row) == expected

    @pytest.mark.parametrize(
        ("places", "expected"),
        [
            (({"prompt_tokens": 9, "completion_tokens": 3}, {"usage": {"prompt_tokens": 1}}, None), Usage(9, 3)),
            ((None, {"id": "r", "usage": {"prompt_tokens": 9, "completion_tokens": 3}}, None), Usage(9, 3)),
            ((None, None, {"cache_n": 4, "prompt_n": 5, "predicted_n": 3, "predicted_ms": 7.5}), Usage(9, 3, 4)),
            ((None, None, {"prompt_n": "5", "predicted_n": 3}), None),
            ((None, None, {"prompt_ms": 7.5}), None),
            ((None, None, None), None),
        ],
    )
    def test_places(self, places: tuple[object, object, object], expected: Usage | None) -> None:
        """Groq's streams and llama.cpp say it elsewhere."""
        assert read_usage(usage_beside(*places)) == expected

    def test_in_a_whole_answer(self) -> None:
        """llama.cpp's timings count in a plain answer too."""
        body = {
            "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
            "timings": {"cache_n": 0, "prompt_n": 5, "predicted_n": 3},
        }
        assert read_answer(json.dumps(body).encode(), "m").usage == Usage(5, 3)


def zeros(**figures: object) -> dict[str, object]:
    return {**dict.fromkeys(SUM, 0), **figures}


class TestLater:
    @pytest.mark.parametrize(
        ("reports", "expected"),
        [
            ([SUM, zeros()], Usage(100, 50)),
            ([SUM, dict.fromkeys(SUM)], Usage(100, 50)),
            ([SUM, {**SUM, "completion_tokens": 60, "total_tokens": 160}], Usage(100, 60)),
            ([SUM, {**SUM, "completion_tokens": 60, "total_tokens": 0}], Usage(100, 60)),
            ([SUM, {**SUM, "completion_tokens": 20, "total_tokens": 120}], Usage(100, 50)),
            ([SUM, {**SUM, "completion_tokens": "60"}], None),
            ([{**SUM, "completion_tokens": "60"}, SUM], Usage(100, 50)),
            ([SUM, {"prompt_tokens": 120, "completion_tokens": 50}], Usage(120, 50)),
            ([CACHED, zeros()], Usage(100, 50, 64)),
            ([CACHED, {**SUM, "prompt_tokens_details": {"cached_tokens": 0}}], Usage(100, 50, 64)),
            ([CACHED, {**SUM, "prompt_tokens_details": {"audio_tokens": 0}}], Usage(100, 50, 64)),
            ([CACHED, {**SUM, "prompt_tokens_details": 0}], Usage(100, 50, 64)),
            ([{**SUM, "total_tokens": 550}, zeros(prompt_tokens_details=0)], Usage(100, 450)),
        ],
    )  # fmt: skip
    def test_running_totals(self, reports: list[dict[str, Any]], expected: Usage | None) -> None:
        """Zeros, null and less take nothing back; what is no figure makes the whole unknown."""
        usage: object = None
        for report in reports:
            usage = later_usage(usage, report)
        assert read_usage(usage) == expected

    def test_fields_that_nobody_knows(self) -> None:
        """A stream cannot make the usage grow without end."""
        assert later_usage({}, {f"x{n}": n for n in range(1000)} | SUM) == SUM

    @pytest.mark.parametrize(
        ("start", "change", "expected"),
        [
            ({"input_tokens": 1000, "output_tokens": 1}, {"output_tokens": 50}, Usage(1000, 50)),
            ({"input_tokens": 1000, "output_tokens": 1}, {"input_tokens": 0, "output_tokens": 50}, Usage(1000, 50)),
            ({"input_tokens": 0, "output_tokens": 0}, {"input_tokens": 1000, "output_tokens": 50}, Usage(1000, 50)),
            ({"input_tokens": 0, "output_tokens": 0}, {"output_tokens": 50}, None),
            ({"input_tokens": 1000, "output_tokens": 1}, None, None),
            ({"input_tokens": 1000, "output_tokens": 1}, {"output_tokens": 0}, None),
            ({"input_tokens": 1000, "output_tokens": 1}, {"output_tokens": "50"}, None),
            (
                {"input_tokens": 10, "cache_read_input_tokens": 5000, "output_tokens": 1},
                {"input_tokens": 10, "cache_read_input_tokens": 0, "output_tokens": 50},
                Usage(5010, 50, 5000),
            ),
            (
                {"input_tokens": 1000, "output_tokens": 1},
                {"input_tokens": 10, "cache_read_input_tokens": 990, "output_tokens": 50},
                Usage(1000, 50, 990),
            ),
            (
                {"input_tokens": 1000, "output_tokens": 1},
                {"input_tokens": 10, "output_tokens": 50},
                Usage(1000, 50),
            ),
            (
                {"input_tokens": 10, "cache_creation_input_tokens": 500, "output_tokens": 1},
                {"input_tokens": 10, "cache_creation_input_tokens": 100, "output_tokens": 50},
                Usage(510, 50, 0, 500),
            ),
            ({"input_tokens": "1000"}, {"input_tokens": 1000, "output_tokens": 50}, Usage(1000, 50)),
        ],
    )
    def test_anthropic(self, start: dict[str, Any], change: dict[str, Any] | None, expected: Usage | None) -> None:
        """The first event guesses, the last one counts; a prompt never shrinks."""
        collector = EventCollector("m", 1000)
        for event in (
            {"type": "message_start", "message": {"content": [], "usage": start}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "hi"}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": change},
            {"type": "message_stop"},
        ):
            collector.feed(json.dumps(event).encode())
        assert collector.answer().usage == expected

    def test_anthropic_keeps_what_a_later_report_leaves_out(self) -> None:
        """A report of the prompt alone takes the output back no more than a zero does."""
        assert later_anthropic({"input_tokens": 10, "output_tokens": 50}, {"input_tokens": 20}) == {
            "input_tokens": 20,
            "output_tokens": 50,
        }

    @pytest.mark.parametrize("figure", ["many", -1, 1.5, True, [10]])
    def test_anthropic_knows_no_prompt_by_what_is_no_count(self, figure: object) -> None:
        """A later report whose prompt is no count is no smaller prompt: then nothing is known."""
        later = later_anthropic({"input_tokens": 10, "output_tokens": 50}, {"input_tokens": figure})
        assert read_anthropic(later) is None


class TestBelievable:
    @pytest.mark.parametrize(
        ("usage", "said", "thought", "possible"),
        [
            (Usage(10, 150), 600, 0, True),
            (Usage(10, 1), 40, 0, True),
            (Usage(10, 1), 600, 0, False),
            (Usage(10, 0), 1, 0, False),
            (Usage(10, 0), 0, 0, True),
            (Usage(10, 400, reasoning_tokens=400), 600, 0, False),
            (Usage(10, 400, reasoning_tokens=250), 600, 1000, True),
            (Usage(10, 20), 100, 5000, False),
            (Usage(10, 1_000_000), 600, 0, True),
            (Usage(10, 1_000_001), 600, 0, False),
            (Usage(10, 1_000_001), 1_000_001, 0, True),
            (Usage(10_000_000, 150), 600, 0, True),
            (Usage(10_000_001, 150), 600, 0, False),
        ],
    )
    def test_against_what_arrived(self, usage: Usage, said: int, thought: int, possible: bool) -> None:
        """So many bytes can be so many tokens, no fewer and not a million."""
        assert believable(usage, said, thought) == (usage if possible else None)

    def test_against_the_prompt(self) -> None:
        """A long prompt is no single token."""
        assert believable_prompt(Usage(1, 1), 100) == Usage(1, 1)
        assert believable_prompt(Usage(1, 1), 100_000) is None
        assert believable_prompt(None, 5) is None

    def test_of_a_stream(self) -> None:
        """The answer's usage is looked at when it is whole; until then it is what was said."""
        collector = ChunkCollector("m", 10_000)
        usage = {"prompt_tokens": 10, "completion_tokens": 1}
        choice = {"delta": {"content": "A long answer. " * 40}, "finish_reason": "stop"}
        collector.feed(json.dumps({"choices": [choice], "usage": usage}).encode())
        assert (collector.usage, collector.answer().usage, collector.reported) == (Usage(10, 1), None, True)
