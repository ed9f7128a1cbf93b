"""Thousands of streams, right and wrong, cut anywhere: we read what a plain reader reads, and what was meant."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from cortexd.domain.messages import Answer
from cortexd.errors import ProviderError
from cortexd.providers.anthropic.stream import EventCollector
from cortexd.providers.collecting import Collector
from cortexd.providers.openai.stream import ChunkCollector
from cortexd.providers.sse import EventSplitter
from tests.unit.plain_reader import Read, read
from tests.unit.rolled_streams import DEFECTS, USAGE_DEFECTS, Rolled, pieces, rolled

COLLECTORS: dict[str, type[Collector]] = {"openai": ChunkCollector, "anthropic": EventCollector}
INPUT_RATE, OUTPUT_RATE = 2, 10


def heard(api: str, packets: Sequence[bytes]) -> Answer | None:
    """The answer as its deltas told it; None for a failure."""
    collector, splitter, told = COLLECTORS[api]("m", 10**6), EventSplitter(), []
    try:
        for packet in packets:
            for name, data in splitter.feed(packet):
                collector.feed(data, name)
            told += collector.take()
        answer = collector.answer()
    except ProviderError:
        return None
    told += collector.take()
    assert "".join(delta for delta in told if isinstance(delta, str)) == answer.content
    assert tuple(delta for delta in told if not isinstance(delta, str)) == answer.tool_calls
    return answer


def as_read(answer: Answer | None) -> Read | None:
    if answer is None:
        return None
    calls = tuple(
        (call.name, json.dumps(json.loads(call.arguments), sort_keys=True, ensure_ascii=False))
        for call in answer.tool_calls
    )
    assert len({call.id for call in answer.tool_calls}) == len(calls)
    return Read(answer.content, calls, answer.finish_reason)


def check(stream: Rolled) -> None:
    answer = heard(stream.api, pieces(stream.body, stream.rng))
    assert as_read(answer) == read(stream.api, stream.body), (stream.defects, stream.body)
    assert (answer is not None) == stream.meant, (stream.defects, stream.body)
    if answer is not None and answer.usage is not None:
        prompt, output = stream.used
        known = answer.usage.input_tokens * INPUT_RATE + answer.usage.output_tokens * OUTPUT_RATE
        assert known >= prompt * INPUT_RATE + output * OUTPUT_RATE, (stream.defects, answer.usage, stream.used)


class TestRolled:
    @pytest.mark.parametrize("part", range(4))
    def test_some(self, part: int) -> None:
        """A failure is never an answer, an answer is the one that was meant, and no known cost is too low."""
        for number in range(250):
            check(rolled(f"{part} {number}"))

    @pytest.mark.slow
    @pytest.mark.parametrize("part", range(10, 20))
    def test_ten_thousand(self, part: int) -> None:
        """The same, at length."""
        for number in range(1000):
            check(rolled(f"{part} {number}"))

    def test_every_defect_is_rolled(self) -> None:
        """The generator knows all of what it should, and half of what it makes is an answer."""
        streams = [rolled(f"0 {number}") for number in range(1000)]
        usage = {f"usage: {name}" for rows in USAGE_DEFECTS.values() for name in rows}
        assert {defect for stream in streams for defect in stream.defects} == usage | set(DEFECTS)
        assert 300 < sum(stream.meant for stream in streams) < 800


class TestCuts:
    @pytest.mark.parametrize("number", range(24))
    def test_at_every_byte(self, number: int) -> None:
        """Wherever the network cuts a stream in two, it is the same answer; and byte by byte."""
        stream = rolled(f"cut {number}")
        body = stream.body[:4000]
        whole = heard(stream.api, [body])
        expected = as_read(whole)
        for at in range(len(body)):
            assert as_read(heard(stream.api, [body[:at], body[at:]])) == expected, at
        assert as_read(heard(stream.api, [body[at : at + 1] for at in range(len(body))])) == expected
