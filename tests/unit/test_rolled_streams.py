"""Thousands of streams, right and wrong, cut anywhere: we read what a plain reader reads, and what was meant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cortexd.domain.messages import Answer
from cortexd.errors import ProviderError
from cortexd.providers import collecting
from cortexd.providers.anthropic.stream import EventCollector
from cortexd.providers.collecting import Collector
from cortexd.providers.openai.stream import ChunkCollector
from cortexd.providers.responses.stream import EventCollector as ResponseCollector
from cortexd.providers.sse import EventSplitter
from tests.unit.plain_reader import Read, read
from tests.unit.rolled_streams import DEFECTS, USAGE_DEFECTS, Rolled, pieces, rolled

COLLECTORS: dict[str, type[Collector]] = {
    "openai": ChunkCollector,
    "anthropic": EventCollector,
    "responses": ResponseCollector,
}
INPUT_RATE, OUTPUT_RATE = 2, 10


@pytest.fixture(autouse=True)
def _however_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every packet be read at once, as long ones are."""
    monkeypatch.setattr(collecting, "_MANY_BYTES", 0)


def collected(api: str, packets: Sequence[bytes]) -> Answer | ProviderError:
    """The answer, or the failure, of who hears nothing: each packet read at once."""
    collector, splitter = COLLECTORS[api]("m", 10**6), EventSplitter()
    try:
        for packet in packets:
            collector.read(packet, splitter)
        return collector.answer()
    except ProviderError as error:
        return error


def heard(api: str, packets: Sequence[bytes]) -> Answer | ProviderError:
    """The answer as its deltas told it, or the failure: each event read by itself."""
    collector, splitter, told = COLLECTORS[api]("m", 10**6), EventSplitter(), []
    try:
        for packet in packets:
            for name, data in splitter.feed(packet):
                collector.feed(data, name)
            told += collector.take()
        answer = collector.answer()
    except ProviderError as error:
        return error
    told += collector.take()
    assert "".join(delta for delta in told if isinstance(delta, str)) == answer.content
    assert tuple(delta for delta in told if not isinstance(delta, str)) == answer.tool_calls
    return answer


def as_read(answer: Answer | ProviderError) -> Read | None:
    if isinstance(answer, ProviderError):
        return None
    calls = tuple(
        (call.name, json.dumps(json.loads(call.arguments), sort_keys=True, ensure_ascii=False))
        for call in answer.tool_calls
    )
    assert len({call.id for call in answer.tool_calls}) == len(calls)
    return Read(answer.content, calls, answer.finish_reason)


def comparable(answer: Answer | ProviderError) -> object:
    """Without the ids that are made up; a failure with all that it says."""
    if isinstance(answer, ProviderError):
        usage = getattr(answer, "usage", None)
        return (type(answer), answer.failure, answer.message, answer.status, answer.may_have_billed, usage)
    return replace(answer, tool_calls=tuple(replace(call, id="") for call in answer.tool_calls))


def check(stream: Rolled) -> None:
    packets = pieces(stream.body, stream.rng)
    answer = heard(stream.api, packets)
    for way in (packets, [stream.body]):
        assert comparable(collected(stream.api, way)) == comparable(answer), (stream.defects, stream.body)
    assert as_read(answer) == read(stream.api, stream.body), (stream.defects, stream.body)
    assert isinstance(answer, Answer) == stream.meant, (stream.defects, stream.body)
    if isinstance(answer, Answer) and answer.usage is not None:
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

    def test_much_is_read_at_once(self) -> None:
        """Where it is in the usual form; so what is compared above are two ways and not one."""
        found = 0
        for stream in (rolled(f"0 {number}") for number in range(200)):
            collector, splitter = COLLECTORS[stream.api]("m", 10**6), EventSplitter()
            list(splitter.feed(b"\n"))
            found += splitter.usual(stream.body, collector.names) is not None
        assert found > 20


class TestCuts:
    @pytest.mark.parametrize("number", range(24))
    def test_at_every_byte(self, number: int) -> None:
        """Wherever the network cuts a stream in two, it is the same answer; and byte by byte."""
        stream = rolled(f"cut {number}")
        body = stream.body[:4000]
        whole = heard(stream.api, [body])
        expected = comparable(whole)
        for at in range(len(body)):
            assert comparable(heard(stream.api, [body[:at], body[at:]])) == expected, at
            assert comparable(collected(stream.api, [body[:at], body[at:]])) == expected, at
        assert comparable(heard(stream.api, [body[at : at + 1] for at in range(len(body))])) == expected
