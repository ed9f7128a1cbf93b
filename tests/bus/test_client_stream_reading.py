"""How a stream reads its pipe: whatever the writer does, in whatever pieces. The daemon's own: test_client_streams."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from dbus_next import Message

from cortexd import errors
from cortexd.client import AsyncClient, DoneEvent, FallbackEvent, Stream, TextEvent, ToolCallEvent
from cortexd.client.pipe import Lines
from cortexd.connection import Connection, wire
from tests.bus.private_dbus import PrivateBus, bus_fixture, no_leaks_fixture  # noqa: F401
from tests.eventually import assert_eventually_async

TIMEOUT_S = 20.0
DONE = {"type": "done", "metadata": {"request_id": "r", "provider": "claude", "cost_nano_usd": 7}}


def text(piece: str) -> dict[str, Any]:
    return {"type": "text", "text": piece}


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(event, ensure_ascii=False).encode() + b"\n" for event in events)


class Writer:
    """The daemon's end of a pipe."""

    def __init__(self) -> None:
        self.reader_fd, self._fd = os.pipe()

    @property
    def deserted(self) -> bool:
        """Whether the read end is closed."""
        try:
            os.write(self._fd, b"\n")
        except BrokenPipeError:
            return True
        return False

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def end(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@contextmanager
def pipe(timeout_s: float = TIMEOUT_S) -> Iterator[tuple[Writer, Stream]]:
    writer = Writer()

    async def begin() -> tuple[str, int]:
        return "r", writer.reader_fd

    try:
        yield writer, Stream(begin, timeout_s)
    finally:
        writer.end()


@contextmanager
def writing(writer: Writer, data: bytes) -> Iterator[None]:
    """From a thread, since a pipe holds only 64 KiB."""
    thread = threading.Thread(target=writer.write, args=(data,))
    thread.start()
    yield
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()


class TestOrder:
    async def test_ten_thousand_pieces(self) -> None:
        """10,000 pieces arrive whole and in order, in well under a second."""
        pieces = [f"piece {n} ünd " for n in range(10_000)]
        begun = time.process_time()
        with pipe() as (writer, stream), writing(writer, lines(*map(text, pieces), DONE)):
            async with stream:
                assert [piece async for piece in stream] == pieces
        assert time.process_time() - begun < 2
        assert stream.text == stream.completion.content == "".join(pieces)
        assert (stream.request_id, stream.completion.provider, stream.completion.cost_nano_usd) == ("r", "claude", 7)
        assert not stream.restarted

    @pytest.mark.parametrize("size", [1, 7])
    async def test_however_it_is_cut(self, size: int) -> None:
        """Events may be cut anywhere, also within a character."""
        data = lines(text("zwölf"), text("Boxkämpfer 🥊"), DONE)
        with pipe() as (writer, stream):
            async with stream:
                reading = asyncio.create_task(_all_of(stream))
                for start in range(0, len(data), size):
                    writer.write(data[start : start + size])
                    await asyncio.sleep(0)
                assert await reading == ["zwölf", "Boxkämpfer 🥊"]

    async def test_a_line_as_long_as_an_answer(self) -> None:
        """16 MiB of text may come as one event, written as JSON's longest escapes."""
        long = "\x01" * (16 * 2**20)
        with pipe() as (writer, stream), writing(writer, lines(text(long), DONE)):
            async with stream:
                assert [piece async for piece in stream] == [long]

    async def test_others_are_not_kept_waiting(self) -> None:
        """Beside a stream that always has something to read other tasks still get their turn."""
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(others())
        with pipe() as (writer, stream), writing(writer, lines(*[text("x" * 100)] * 20_000, DONE)):
            assert len([piece async for piece in stream]) == 20_000
        beside.cancel()
        assert turns >= 20


class TestEvents:
    async def test_each_kind(self) -> None:
        """events() gives text, tool calls and the end with the whole answer; types of a newer service are left out."""
        call = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": "{}"}
        with pipe() as (writer, stream):
            writer.write(lines(text("a"), {"type": "mood", "value": 1}, call, text("b"), DONE))
            first, second, third, last = [event async for event in stream.events()]
        assert (first, third) == (TextEvent("a"), TextEvent("b"))
        assert isinstance(second, ToolCallEvent)
        assert (second.tool_call.name, second.tool_call.arguments) == ("weather", "{}")
        assert isinstance(last, DoneEvent)
        assert last.completion.content == "ab"
        assert last.completion == stream.completion

    async def test_restart(self) -> None:
        """After a fallback the text starts anew; plain iteration just goes on."""
        fallback = {"type": "fallback", "provider": "kimi_k2", "model": "kimi-k2.6", "reason": "connection"}
        with pipe() as (writer, stream):
            writer.write(lines(text("Once"), fallback, text("Twice"), DONE))
            assert await anext(stream) == "Once"
            assert (stream.restarted, stream.text) == (False, "Once")
            assert await anext(stream) == "Twice"
            assert (stream.restarted, stream.text) == (True, "Twice")
            assert [event async for event in stream.events()] == [DoneEvent(stream.completion)]
            assert stream.completion.content == "Twice"

    async def test_fallback_event(self) -> None:
        """A fallback says who goes on, and why the other one did not."""
        with pipe() as (writer, stream):
            writer.write(lines({"type": "fallback", "provider": "p", "model": "m", "reason": "r"}))
            assert await stream.next_event() == FallbackEvent("p", "m", "r")
            await stream.close()

    async def test_unsafe_text(self) -> None:
        """Half a surrogate pair, which no terminal or file takes, arrives as U+FFFD."""
        with pipe() as (writer, stream):
            writer.write(b'{"type": "text", "text": "a\\ud800b"}\n' + lines(DONE))
            assert await _all_of(stream) == ["a\ufffdb"]


class TestFailures:
    async def test_error_event(self) -> None:
        """An error in the middle is raised as ours, after what came before it, and at every later attempt."""
        failed = {
            "type": "error",
            "name": "org.cortexlinux.LLMRouter.Error.RateLimited",
            "message": "slow down [retry_after_ms=3000]",
        }
        with pipe() as (writer, stream):
            writer.write(lines(text("Once"), failed))
            assert await anext(stream) == "Once"
            for _ in range(2):
                with pytest.raises(errors.RateLimited, match="slow down") as caught:
                    await anext(stream)
            assert caught.value.details == {"retry_after_ms": 3000}
            assert stream.text == "Once"
            with pytest.raises(RuntimeError, match="read to its end"):
                _ = stream.completion
            assert writer.deserted

    async def test_breaking_off(self) -> None:
        """A pipe that ends without an end is an error, not a short answer."""
        with pipe() as (writer, stream):
            writer.write(lines(text("Once")) + b'{"type": "te')
            writer.end()
            assert await anext(stream) == "Once"
            with pytest.raises(errors.ServiceUnavailable, match="broke off"):
                await anext(stream)

    @pytest.mark.parametrize(
        "line",
        [b"nonsense", b"[]", b"3", b'{"text": "a"}', b'{"type": "text"}', b'{"type": "text", "text": 3}', b"\xff",
         b'{"type": []}', b'{"type": "done", "metadata": 1}', b'{"type": "error", "name": 1}'],
        ids=str,
    )  # fmt: skip
    async def test_no_event(self, line: bytes) -> None:
        """What is no event ends the stream as Internal."""
        with pipe() as (writer, stream):
            writer.write(line + b"\n")
            with pytest.raises(errors.Internal, match="cannot be read"):
                await anext(stream)
            assert writer.deserted

    def test_endless_line(self) -> None:
        """A line beyond its bound is refused before it is whole."""
        cut = Lines(max_bytes=100)
        assert cut.feed(b"x" * 60 + b"\n" + b"y" * 60) == [b"x" * 60]
        with pytest.raises(errors.Internal, match="more than 100 bytes"):
            cut.feed(b"y" * 60)

    async def test_silence(self) -> None:
        """A writer that says nothing for the timeout is left."""
        with pipe(timeout_s=0.05) as (writer, stream):
            writer.write(lines(text("Once")))
            assert await anext(stream) == "Once"
            with pytest.raises(errors.Timeout, match=r"within 0\.05 s"):
                await anext(stream)
            assert writer.deserted

    async def test_nothing_was_opened(self) -> None:
        """What fails before the stream began is raised, and leaves nothing."""

        async def begin() -> tuple[str, int]:
            raise errors.BudgetExceeded("no")

        with pytest.raises(errors.BudgetExceeded):
            async with Stream(begin, TIMEOUT_S):
                pass


class TestLeaving:
    async def test_context(self) -> None:
        """Leaving the context closes the pipe."""
        with pipe() as (writer, stream):
            async with stream:
                assert not writer.deserted
            assert writer.deserted
            assert await _all_of(stream) == []

    async def test_close_wakes_a_reader(self) -> None:
        """close() ends an iteration that waits."""
        with pipe() as (writer, stream):
            reading = asyncio.create_task(_all_of(stream))
            writer.write(lines(text("Once")))
            await assert_eventually_async(lambda: stream.text == "Once")
            await stream.aclose()
            async with asyncio.timeout(TIMEOUT_S):
                assert await reading == ["Once"]
            assert writer.deserted

    async def test_cancelled_reader(self) -> None:
        """Cancelling the task that reads closes the pipe; nobody may take what came for the whole answer."""
        with pipe() as (writer, stream):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await anext(stream)
            assert writer.deserted
            with pytest.raises(errors.Cancelled):
                await anext(stream)

    async def test_dropped(self) -> None:
        """A stream that nobody holds any longer is closed, also in the middle of its events."""
        with pipe() as (writer, stream):
            writer.write(lines(text("Once"), text("Twice")))
            events = stream.events()
            assert await anext(events) == TextEvent("Once")
            assert not writer.deserted
            del stream, events
            gc.collect()
            await assert_eventually_async(lambda: writer.deserted)

    async def test_end(self) -> None:
        """The pipe is closed as soon as its end is read, without waiting for the context's."""
        with pipe() as (writer, stream):
            async with stream:
                writer.write(lines(DONE))
                assert await _all_of(stream) == []
                assert writer.deserted

    async def test_closed_before_it_began(self) -> None:
        """A stream closed before its first piece never begins."""
        with pipe() as (writer, stream):
            await stream.close()
            assert await _all_of(stream) == []
            assert not stream.request_id
            os.close(writer.reader_fd)


@asynccontextmanager
async def answering(bus: PrivateBus, signature: str, body: list[object], fds: int) -> AsyncIterator[AsyncClient]:
    """A client of a service that gives this answer, with so many read ends of pipes in which an answer lies."""

    def answer(message: Message) -> None:
        writers = [Writer() for _ in range(fds)]
        ends = [writer.reader_fd for writer in writers]
        owner.send(Message.new_method_return(message, signature, body, ends))
        for writer in writers:
            writer.write(lines(text("hello"), DONE))
            writer.end()
            os.close(writer.reader_fd)

    async with await Connection.open(bus.address) as owner:
        owner.on_call = answer
        await owner.request_name(wire.BUS_NAME)
        async with AsyncClient(bus.address) as client:
            yield client


class TestDescriptors:
    """None that arrives is left open, whatever the service sends; no_leaks counts them."""

    @pytest.mark.parametrize(("index", "fds"), [(0, 1), (1, 3)])
    async def test_only_the_named_one_is_used(self, bus: PrivateBus, index: int, fds: int) -> None:
        """The one that the answer names is read, others are closed."""
        async with answering(bus, "sh", ["r", index], fds) as client:
            stream = client.stream("user_chat", "hello")
            assert await _all_of(stream) == ["hello"]
            assert stream.request_id == "r"

    @pytest.mark.parametrize(
        ("signature", "body", "fds"), [("su", ["r", 0], 0), ("su", ["r", 5], 2), ("s", ["r"], 1), ("ss", ["r", "0"], 1)]
    )
    async def test_none_to_use(self, bus: PrivateBus, signature: str, body: list[object], fds: int) -> None:
        """An answer without the descriptor that it promises is Internal."""
        async with answering(bus, signature, body, fds) as client:
            with pytest.raises(errors.Internal, match="cannot be read"):
                await client.stream("user_chat", "hello").open()

    async def test_nobody_asked(self, bus: PrivateBus) -> None:
        """One that comes with an ordinary answer is closed."""
        async with answering(bus, "aa{sv}", [[]], 2) as client:
            assert await client.requests() == []


async def _all_of(stream: Stream) -> list[str]:
    return [piece async for piece in stream]
