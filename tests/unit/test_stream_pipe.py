"""A stream's pipe: whole lines in order, a reader that is behind, one that leaves."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from cortexd.bus.pipe import PipeSink, make_pipe
from cortexd.domain.messages import ToolCall
from cortexd.errors import Cancelled, ProviderFailed, Timeout


def lines(descriptor: int) -> list[dict[str, object]]:
    """Every event up to the pipe's end."""
    with os.fdopen(descriptor, "rb") as stream:
        return [json.loads(line) for line in stream]


class TestPipeSink:
    async def test_events_arrive_as_one_object_per_line(self) -> None:
        """Text, tool calls, a fallback and the end, in order; then the pipe ends."""
        read_end, write_end = make_pipe()
        sink = PipeSink(write_end, 5)
        assert not sink.spoke
        await sink.deltas(["Gr\u00fc\u00df\n", ToolCall("1", "f", '{"a": 1}')])
        assert sink.spoke
        await sink.fallback("kimi_k2", "kimi-k2.6", "claude: overloaded")
        await sink.failed(ProviderFailed("no more"))
        sink.close()
        assert await asyncio.to_thread(lines, read_end) == [
            {"type": "text", "text": "Gr\u00fc\u00df\n"},
            {"type": "tool_call", "id": "1", "name": "f", "arguments": '{"a": 1}'},
            {"type": "fallback", "provider": "kimi_k2", "model": "kimi-k2.6", "reason": "claude: overloaded"},
            {"type": "error", "name": "org.cortexlinux.LLMRouter.Error.ProviderFailed", "message": "no more"},
        ]

    async def test_megabytes_pass_through_a_small_pipe(self) -> None:
        """A reader that keeps up gets all of it, whatever the pipe holds at a time."""
        read_end, write_end = make_pipe()
        sink = PipeSink(write_end, 5)
        reading = asyncio.create_task(asyncio.to_thread(lines, read_end))
        for number in range(100):
            await sink.deltas([f"{number} " + "x" * 30_000])
        sink.close()
        events = await asyncio.wait_for(reading, 20)
        assert [str(event["text"]).split(" ")[0] for event in events] == [str(number) for number in range(100)]

    async def test_a_reader_that_stops_stops_the_writer(self) -> None:
        """The writer waits, says that it is behind, and goes on once there is room."""
        read_end, write_end = make_pipe()
        sink = PipeSink(write_end, 5)
        writing = asyncio.create_task(sink.deltas(["x" * 1_000_000]))
        await asyncio.sleep(0.05)
        assert sink.behind
        assert not writing.done()
        reading = asyncio.create_task(asyncio.to_thread(lines, read_end))
        await asyncio.wait_for(writing, 5)
        assert not sink.behind
        sink.close()
        assert len(str((await reading)[0]["text"])) == 1_000_000

    async def test_a_reader_that_never_reads_ends_its_stream(self) -> None:
        """After the stall limit, and the words say so."""
        read_end, write_end = make_pipe()
        sink = PipeSink(write_end, 0.05)
        with pytest.raises(Timeout, match=r"has read nothing for 0\.05 s"):
            await sink.deltas(["x" * 1_000_000])
        assert sink.behind
        sink.close()
        os.close(read_end)

    async def test_a_reader_that_leaves_is_noticed_at_once(self) -> None:
        """Also while nothing is written; whoever writes afterwards is cancelled."""
        read_end, write_end = make_pipe()
        sink = PipeSink(write_end, 5)
        gone = asyncio.Event()
        sink.gone.add_done_callback(lambda _gone: gone.set())
        os.close(read_end)
        await asyncio.wait_for(gone.wait(), 5)
        with pytest.raises(Cancelled):
            await sink.deltas(["x"])
        sink.close()

    async def test_no_descriptor_is_left(self) -> None:
        """Closing is final, and harmless when repeated."""
        before = len(list(Path("/proc/self/fd").iterdir()))
        read_end, write_end = make_pipe()
        sink = PipeSink(write_end, 5)
        sink.close()
        sink.close()
        os.close(read_end)
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    async def test_a_lone_surrogate_does_not_break_a_line(self) -> None:
        """What JSON cannot hold as UTF-8 is escaped."""
        read_end, write_end = make_pipe()
        sink = PipeSink(write_end, 5)
        await sink.deltas(["a\ud800b"])
        sink.close()
        assert (await asyncio.to_thread(lines, read_end))[0]["text"] == "a\ud800b"
