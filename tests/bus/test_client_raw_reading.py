"""How a raw stream reads its pipe: whatever the writer does, in whatever pieces."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.client import AsyncClient, BytesEvent, DoneEvent, HeadEvent, RawStream
from cortexd.client.raw import Frames
from cortexd.connection import wire
from cortexd.errors import CortexError, Internal, InvalidArgument, RateLimited, ServiceUnavailable

HEAD = {"type": "head", "provider": "claude", "model": "m", "reason": "best", "lane": "raw", "lost": ["seed"]}
DONE = {"type": "done", "metadata": {"request_id": "r", "cost_nano_usd": 7, "lane": "raw"}}
FAILED = {"type": "error", "name": wire.error_name(RateLimited("slow")), "message": "slow"}


def line(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def framed(data: bytes) -> bytes:
    return b'{"type":"raw","bytes":%d}\n' % len(data) + data


async def read(*pieces: bytes) -> tuple[RawStream, list[Any], CortexError | None]:
    """What a stream tells of that, and how it ends."""
    read_end, write_end = os.pipe()

    async def begin() -> tuple[str, int]:
        return "r", read_end

    told: list[Any] = []
    stream = RawStream(begin, 20.0)
    os.write(write_end, b"".join(pieces))
    os.close(write_end)
    try:
        async for event in stream.events():
            told.append(event)
    except CortexError as error:
        return stream, told, error
    return stream, told, None


class TestFrames:
    @given(st.lists(st.binary(max_size=20) | st.just({"type": "x", "n": 1}), max_size=8), st.data())
    def test_however_the_pipe_cuts(self, frames: list[Any], data: st.DataObject) -> None:
        """Lines and bytes come as they were written, ends of lines inside the bytes too."""
        written = b"".join(framed(one) if isinstance(one, bytes) else line(one) for one in frames)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=6)))
        reader = Frames()
        got = [
            one
            for start, end in zip([0, *cuts], [*cuts, len(written)], strict=True)
            for one in reader.feed(written[start:end])
        ]
        assert got == frames

    @pytest.mark.parametrize("data", [b"[1]\n", b"{\n", b'{"type":"raw","bytes":-1}\n', b'{"type":"raw","bytes":9'])
    def test_what_is_no_frame(self, data: bytes) -> None:
        """Is an error of ours, and what has no end as well."""
        with pytest.raises(Internal):
            list(Frames(max_bytes=20).feed(data))


class TestRawStream:
    async def test_tells_all_in_order(self) -> None:
        """The head, the bytes that came together as one, and the end with its cost."""
        stream, told, error = await read(line(HEAD), framed(b"data: 1\n\n"), framed(b"data: 2\n\n"), line(DONE))
        assert error is None
        assert told[:2] == [
            HeadEvent("claude", "m", "best", "raw", ("seed",)),
            BytesEvent(b"data: 1\n\ndata: 2\n\n"),
        ]
        assert isinstance(told[2], DoneEvent)
        assert (stream.completion.cost_nano_usd, stream.told) == (7, True)

    async def test_a_failure_comes_after_its_bytes(self) -> None:
        """Which are whole; the service said how it ended."""
        stream, told, error = await read(line(HEAD), framed(b"data: 1\n\n"), line(FAILED))
        assert told[1:] == [BytesEvent(b"data: 1\n\n")]
        assert (type(error), stream.told) == (RateLimited, True)

    async def test_what_breaks_off_is_told_as_that(self) -> None:
        """Half a frame is never given out."""
        stream, told, error = await read(line(HEAD), framed(b"data: 1\n\n"), framed(b"data: 2\n\n")[:-3])
        assert told[1:] == [BytesEvent(b"data: 1\n\n")]
        assert (type(error), stream.told) == (ServiceUnavailable, False)

    async def test_types_of_later_versions_are_passed_over(self) -> None:
        """And rows that are wrong are not."""
        assert [type(one) for one in (await read(line({"type": "new"}), line(DONE)))[1]] == [DoneEvent]
        assert type((await read(line({"type": "done"})))[2]) is Internal


class TestBody:
    @pytest.mark.parametrize("body", [b"\xff", {"a": float("nan")}, {"a": object()}])
    async def test_what_cannot_be_sent(self, body: Any) -> None:
        """Is refused before the bus sees it."""
        client = AsyncClient("unix:path=/nowhere")
        with pytest.raises(InvalidArgument):
            await client.complete_raw("openai", "user_chat", body)
        with pytest.raises(InvalidArgument):
            client.raw_stream("openai", "user_chat", body)
