"""What a body is, by its content; and events as the standard has them."""

from __future__ import annotations

import json

import pytest

from cortexd.domain.messages import Answer
from cortexd.errors import Failure, ProviderError
from cortexd.providers import sse
from cortexd.providers.framing import is_stream, read_body, significant
from cortexd.providers.openai.answer import read_answer
from cortexd.providers.openai.stream import ChunkCollector
from cortexd.providers.sse import EventSplitter

BOM = b"\xef\xbb\xbf"
EVENTS = "text/event-stream"


def events(*packets: bytes) -> list[tuple[str, bytes]]:
    splitter = EventSplitter()
    return [event for packet in packets for event in splitter.feed(packet)]


class TestEvents:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"data: a\n\n", [("", b"a")]),
            (b"data:a\r\rdata: b\r\n\r\ndata:c\n\n", [("", b"a"), ("", b"b"), ("", b"c")]),
            (b"data: a\r\ndata: b\r\r\n\n", [("", b"a\nb")]),
            (BOM + b"data: a\n\n", [("", b"a")]),
            (b"data: a\r\r" + BOM + b"data: b\r\r", [("", b"a")]),
            (b"data: a\ndata\ndata: b\n\n", [("", b"a\n\nb")]),
            (b"event: \xff\ndata: a\n\n", [("\ufffd", b"a")]),
            (b"data: a\n\n" + BOM + b"data: b\n\n", [("", b"a")]),
            (b"id: 1\nevent: e\nretry: 5\nfoo: x\n: c\ndata: a\n\n", [("e", b"a")]),
            (b"event: e\n\ndata: a\n\n", [("", b"a")]),
            (b"data\n\ndata:\n\ndata: \n\ndata: {}\n\nevent: ping\ndata:\n\n", []),
            (b"data: \ndata: a\n\n", [("", b"a")]),
            (b'data: null\n\ndata: []\n\ndata: ""\n\n', []),
            (b"event: x\ndata: {}\n\n", [("x", b"{}")]),
            (b"event: error\n\n", [("error", b"")]),
            (b'error: {"code": 500}\n\n', [("error", b'{"code": 500}')]),
            (b"data: a\n", []),
            (b"data: a", []),
        ],
    )
    def test_the_standard(self, body: bytes, expected: list[tuple[str, bytes]]) -> None:
        """Whatever ends the lines, and wherever the packets are cut."""
        assert events(body) == expected
        assert events(*(body[at : at + 1] for at in range(len(body)))) == expected
        for at in range(len(body)):
            assert events(body[:at], b"", body[at:]) == expected

    def test_what_is_held(self) -> None:
        """The bytes of an event that has begun; comments are none of it, and nothing is left after its end."""
        splitter = EventSplitter()
        held = []
        for packet in (b"", b": a comment", b" goes on\n", b"data: a", b"b\n", b"data:c\n", b": ", b"\n", b"\n"):
            list(splitter.feed(packet))
            held.append(splitter.held_bytes)
        assert held == [0, 0, 0, len(b"data: a"), *[len(b" ab\n")], *[len(b" ab\nc\n")] * 3, 0]

    @pytest.mark.parametrize(
        ("most", "more"),
        [
            (b"data:" + b"x" * 99 + b"\n", b"x"),
            (b"x" * 100, b"x"),
            (b"data\n" * 100, b"data\n"),
            (b"data:abcd\n" * 20, b"data\n"),
        ],
    )
    def test_are_bounded(self, monkeypatch: pytest.MonkeyPatch, most: bytes, more: bytes) -> None:
        """To the byte: of a line, of all lines of data, and each line is one more."""
        monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
        splitter = EventSplitter()
        list(splitter.feed(most))
        with pytest.raises(ProviderError) as failed:
            list(splitter.feed(more))
        assert failed.value.failure is Failure.MALFORMED


NAMES = frozenset({b"event: e", b"event: f"})
TWO = b"data: a\n\ndata:b\n\n"
NAMED = b"event: e\ndata: a\n\nevent: f\ndata: b\n\n"
USUAL: list[tuple[bytes, bytes, frozenset[bytes], tuple[bytes, list[bytes], bytes] | None]] = [
    (b"data: 0\n\n", TWO, frozenset(), (b"", [b"data: a", b"data:b"], b"")),
    (b"data: 0\n\n", TWO + b"data: c", frozenset(), (b"", [b"data: a", b"data:b"], b"data: c")),
    (b"", TWO, frozenset(), (b"data: a\n\n", [b"data:b"], b"")),
    (b"data: 0", b"1\n\n" + TWO + b"da", frozenset(), (b"1\n\n", [b"data: a", b"data:b"], b"da")),
    (b"data: 0\n", b"\n\n" + TWO, frozenset(), (b"\n\n", [b"data: a", b"data:b"], b"")),
    (b"data: 0\n\n", NAMED, NAMES, (b"", [b"data: a", b"data: b"], b"")),
    (b"event: e\n", b"data: 0\n\n" + NAMED, NAMES, (b"data: 0\n\n", [b"data: a", b"data: b"], b"")),
    (b"data: 0\n\n", NAMED, frozenset(), None),
    (b"data: 0\n\n", TWO, NAMES, None),
    (b"data: 0\n\n", b"event: g\n" + TWO, NAMES, None),
    (b"data: 0\n\n", TWO.replace(b"\n", b"\r\n"), frozenset(), None),
    (b"data: 0\n\n", b"data: a\ndata: b\n\n", frozenset(), None),
    (b"data: 0\n\n", b"data: a\ndata: b\ndata: c\n\n", frozenset(), None),
    (b"data: 0\n\n", b": c\n\n" + TWO, frozenset(), None),
    (b"data: 0\n\n", b"data: a\n", frozenset(), None),
    (b"data: 0\n\n", b"", frozenset(), None),
]


class TestUsual:
    @pytest.mark.parametrize(("before", "chunk", "names", "parts"), USUAL)
    def test_parts(
        self, before: bytes, chunk: bytes, names: frozenset[bytes], parts: tuple[bytes, list[bytes], bytes] | None
    ) -> None:
        """Whole events in their usual form between what has begun and what goes on; nothing where one is of another."""
        splitter = EventSplitter()
        list(splitter.feed(before))
        assert splitter.usual(chunk, names) == parts

    def test_are_no_more_than_an_event_may_be(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A chunk beyond an event's bound is looked at piece by piece."""
        splitter = EventSplitter()
        list(splitter.feed(b"data: 0\n\n"))
        for most, found in ((len(TWO), True), (len(TWO) - 1, False)):
            monkeypatch.setattr(sse, "MAX_EVENT_BYTES", most)
            assert (splitter.usual(TWO, ()) is not None) is found


class TestKinds:
    @pytest.mark.parametrize("content_type", [EVENTS, "Text/Event-Stream; charset=utf-8", "application/json", ""])
    @pytest.mark.parametrize("space", [b"", b"\n\n", b" \r\n", BOM, BOM + b"\n"])
    def test_by_content(self, content_type: str, space: bytes) -> None:
        """An object is an answer in one piece, and events are events, whatever they are called."""
        for start in (b"data: ", b"event: x", b": ping\n", b"id: 7\n", b"error: x"):
            assert is_stream(space + start, content_type) is True
        assert is_stream(space + b'{"choices"', content_type) is False
        assert is_stream(space, content_type) is None

    def test_what_is_neither(self) -> None:
        """Pages, texts and nothing are bodies, unless they are called events."""
        for body in (b"<!doctype html>", b"Internal Server Error", b"", b"dat", BOM[:2]):
            assert is_stream(body, "", ended=True) is False
            assert is_stream(body, EVENTS, ended=True) is True
        assert is_stream(b"dat", "") is None
        assert is_stream(b"<html>", "") is False

    def test_half_a_mark_waits(self) -> None:
        """Whatever it is called: the rest may be an object."""
        for size in (1, 2, 3):
            assert is_stream(BOM[:size], EVENTS) is None

    def test_blank_starts_are_not_kept(self) -> None:
        """What keeps a connection alive before an answer takes no memory."""
        assert significant(b" \n" * 1000) == b""
        assert significant(b"\n" + BOM + b" \n{} \n") == b"{} \n"


CHUNKS: list[dict[str, object]] = [
    {"choices": [{"delta": {"content": "Hel"}}]},
    {"choices": [{"delta": {"content": "lo"}, "finish_reason": "stop"}]},
]
WHOLE = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}


def answer_in(body: bytes, content_type: str) -> Answer:
    return read_body(body, content_type, lambda whole: read_answer(whole, "m"), lambda: ChunkCollector("m", 1000))


class TestBodies:
    @pytest.mark.parametrize("content_type", [EVENTS, "application/x-ndjson", "text/plain", ""])
    @pytest.mark.parametrize(
        "body",
        [
            b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in CHUNKS),
            b"".join(json.dumps(chunk).encode() + b"\n" for chunk in CHUNKS),
            b"".join(json.dumps(chunk).encode() + b" \r\n\n" for chunk in CHUNKS),
            b'{"id": "x",\n' + json.dumps(WHOLE).encode()[1:],
            json.dumps(WHOLE).encode(),
            BOM + json.dumps(WHOLE, indent=1).encode(),
            b"\n\n\n" + json.dumps(WHOLE).encode(),
        ],
    )
    def test_the_same_answer(self, content_type: str, body: bytes) -> None:
        """Events, JSON lines and JSON say the same."""
        assert answer_in(body, content_type).content == "Hello"

    @pytest.mark.parametrize(
        ("body", "content_type", "whole"),
        [(b"", EVENTS, False), (b"", "", True), (b"{}", EVENTS, True), (b"{}\n{}", "", False), (b"{}\n[]", "", True)],
    )
    def test_who_reads_it(self, body: bytes, content_type: str, whole: bool) -> None:
        """One value is read whole, also on one line; several lines of objects, and what is called events, piece by
        piece."""
        read: list[bytes] = []

        def reads(body: bytes) -> Answer:
            read.append(body)
            return Answer("Hello", "m", None, "stop")

        if whole:
            assert read_body(body, content_type, reads, lambda: ChunkCollector("m", 1000)).content == "Hello"
            assert read == [body]
        else:
            with pytest.raises(ProviderError):
                read_body(body, content_type, reads, lambda: ChunkCollector("m", 1000))
            assert read == []

    def test_events_keep_their_names(self) -> None:
        """An event named error is the failure that it says."""
        with pytest.raises(ProviderError) as failed:
            answer_in(b'event: error\ndata: {"code": 429}\n\n', EVENTS)
        assert failed.value.failure is Failure.RATE_LIMITED
