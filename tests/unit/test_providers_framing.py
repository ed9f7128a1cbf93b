"""What a body is, by its content; and events as the standard has them."""

from __future__ import annotations

import json

import pytest

from cortexd.domain.messages import Answer
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
            (b"data: a\n\n" + BOM + b"data: b\n\n", [("", b"a")]),
            (b"id: 1\nevent: e\nretry: 5\nfoo: x\n: c\ndata: a\n\n", [("e", b"a")]),
            (b"event: e\n\ndata: a\n\n", [("", b"a")]),
            (b"data\n\ndata:\n\ndata: \n\ndata: {}\n\nevent: ping\ndata:\n\n", []),
            (b"data: \ndata: a\n\n", [("", b"a")]),
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
            assert events(body[:at], body[at:]) == expected


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

    def test_blank_starts_are_not_kept(self) -> None:
        """What keeps a connection alive before an answer takes no memory."""
        assert significant(b" \n" * 1000) == b""


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
            json.dumps(WHOLE).encode(),
            BOM + json.dumps(WHOLE, indent=1).encode(),
            b"\n\n\n" + json.dumps(WHOLE).encode(),
        ],
    )
    def test_the_same_answer(self, content_type: str, body: bytes) -> None:
        """Events, JSON lines and JSON say the same."""
        assert answer_in(body, content_type).content == "Hello"
