"""A stream's own bytes, cut into whole events however they arrive."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.domain.raw import RawCall
from cortexd.errors import ProviderError
from cortexd.providers.raw import MOST_KEPT, RawStream, whole_body

_LINES = st.sampled_from([b"data: one", b"data:two", b"event: odd", b": comment", b"id: 7", b"data: \xc3\xa9"])
_EVENTS = st.lists(st.lists(_LINES, min_size=1, max_size=3), min_size=1, max_size=6)


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(whole), *(place % (len(whole) + 1) for place in places)})
    return [whole[start:end] for start, end in pairwise(at)]


class TestEvents:
    @given(_EVENTS, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(0, 500), max_size=8))
    def test_nothing_is_lost_and_nothing_is_half(
        self, events: list[list[bytes]], newline: bytes, places: list[int]
    ) -> None:
        """Each piece that is told ends an event; all together they are what came."""
        whole = b"".join(newline.join(lines) + newline * 2 for lines in events)
        stream, told = RawStream(RawCall(b"", streamed=True, keeps=True)), []
        for chunk in cut(whole, places):
            stream.add(chunk)
            told.append(stream.take())
            assert not told[-1] or told[-1].endswith((b"\n\n", b"\n\r\n", b"\r\r"))
        told.append(stream.take(last=True))
        assert (b"".join(told), stream.kept) == (whole, whole)

    @given(st.sampled_from(["\n\n", "\r\n\r\n", "\n\r\n", "\r\r"]), st.lists(st.integers(0, 500), max_size=8))
    def test_only_what_was_not_asked_for_is_left_out(self, end: str, places: list[int]) -> None:
        """An event is looked at as a whole, and the others keep their bytes."""
        said = ('data: {"choices": [1]}', 'data: {"choices":[]}', "data: [DONE]")
        before, unasked, after = ((one + end).encode() for one in said)
        call = RawCall(b"", streamed=True, unasked=lambda data: data == b'{"choices":[]}')
        stream, told = RawStream(call), b""
        for chunk in cut(before + unasked + after, places):
            stream.add(chunk)
            told += stream.take()
        assert told + stream.take(last=True) == before + after

    def test_what_waits_is_bounded(self) -> None:
        """So is what is kept for who comes again: more of it is not kept at all."""
        stream = RawStream(RawCall(b"", streamed=True, keeps=True))
        for _ in range(2):
            stream.add(b": nothing\n" * 100_000)
        with pytest.raises(ProviderError):
            stream.add(b": nothing\n" * 100_000)
        full = RawStream(RawCall(b"", streamed=True, keeps=True))
        for _ in range(MOST_KEPT // 1_000_000 + 1):
            full.add(b"x" * 999_998 + b"\n\n")
            full.take()
        assert full.kept is None


class TestWholeBody:
    @pytest.mark.parametrize("body", [b'{"a": 1}', b' {"a":\n1.0e2}\n', '{"a": "\N{ROCKET}"}'.encode()])
    def test_an_object_is_told_as_it_came(self, body: bytes) -> None:
        """With its spaces and forms of numbers."""
        assert whole_body(body) == body

    @pytest.mark.parametrize("body", [b"data: {}\n\n", b"{}\n{}", b"[]", b'{"a": NaN}', b""])
    def test_other_forms_are_not(self, body: bytes) -> None:
        """Whoever reads JSON could not."""
        assert whole_body(body) is None

    def test_bytes_that_are_no_text_are_no_answer(self) -> None:
        """The bus has no form for them."""
        with pytest.raises(ProviderError):
            whole_body(b'{"a": "\xff"}')
