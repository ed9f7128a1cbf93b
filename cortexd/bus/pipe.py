"""A stream's events into a pipe, one JSON object per line. A full pipe slows the answer, a closed one cancels it."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from cortexd.bus import replies
from cortexd.connection import wire
from cortexd.domain.messages import ToolCall
from cortexd.errors import Cancelled, CortexError, Timeout
from cortexd.providers import Delta
from cortexd.requests.results import Completion

_PIPE_BYTES = 256 * 1024
_LAST_WORDS_S = 5.0  # how long a reader that is behind may take to make room for the last event
_encode = msgspec.json.Encoder().encode


def make_pipe() -> tuple[int, int]:
    """The read end for the caller and the write end for a PipeSink."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    with suppress(OSError):  # a user who has many pipes gets no larger ones
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    os.set_blocking(write_end, False)
    return read_end, write_end


class PipeSink:
    """Writes events; holds at most the one that is being written."""

    def __init__(self, write_end: int, stall_s: float) -> None:
        self.spoke = False
        self.behind = False
        self._fd = write_end
        self._stall_s = stall_s
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._partial = False
        self._loop.add_reader(write_end, self._reader_left)  # a pipe's write end becomes readable only by its end

    def asks(self, provider: str, model: str, reason: str) -> None:
        """Its reader hears at the end who answered."""

    async def deltas(self, deltas: Sequence[Delta]) -> None:
        self.spoke = True
        await self._write(b"".join(line(_event_of(delta)) for delta in deltas))

    async def fallback(self, provider: str, model: str, reason: str) -> None:
        self.spoke = False
        await self._write(line({"type": "fallback", "provider": provider, "model": model, "reason": reason}))

    async def continued(self, provider: str, model: str, reason: str) -> None:
        await self._write(line({"type": "continue", "provider": provider, "model": model, "reason": reason}))

    async def done(self, completion: Completion) -> None:
        metadata = {key: value for key, value in replies.metadata(completion).items() if value is not None}
        await self._last_words({"type": "done", "metadata": metadata})

    async def failed(self, error: CortexError) -> None:
        await self._last_words(error_event(error))

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)
            os.close(fd)

    async def _last_words(self, event: dict[str, Any], before: bytes = b"") -> None:
        """The last event, with what comes before it. What cannot be written any more is given up: the end of the pipe
        says it too."""
        if self._partial:
            return  # half an event is in the pipe: nothing can follow it
        with suppress(Cancelled, Timeout, TimeoutError):
            async with asyncio.timeout(self._stall_s if not self.behind else _LAST_WORDS_S):
                await self._write(before + line(event))

    async def _write(self, data: bytes) -> None:
        """All of `data`. Raises Cancelled where nobody reads any more, Timeout where nothing was read for too long."""
        rest = memoryview(data)
        while rest:
            if self._fd < 0:
                raise Cancelled("the stream's reader has left")
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                self._partial = len(rest) != len(data)
                await self._room()
            except OSError:
                self._reader_left()
        self._partial = False

    async def _room(self) -> None:
        """Return when the pipe takes more."""
        room = self._loop.create_future()
        self.behind = True
        self._loop.add_writer(self._fd, _resolve, room)
        try:
            async with asyncio.timeout(self._stall_s):
                await room
        except TimeoutError:
            raise Timeout(f"the stream's reader has read nothing for {self._stall_s:g} s") from None
        finally:
            if self._fd >= 0:
                self._loop.remove_writer(self._fd)
        self.behind = False

    def _reader_left(self) -> None:
        self.close()
        _resolve(self.gone)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _event_of(delta: Delta) -> dict[str, str]:
    if isinstance(delta, ToolCall):
        return {"type": "tool_call", "id": delta.id, "name": delta.name, "arguments": delta.arguments}
    return {"type": "text", "text": str(delta)}


def error_event(error: CortexError) -> dict[str, str]:
    return {"type": "error", "name": wire.error_name(error), "message": wire.error_text(error)}


def line(event: dict[str, Any]) -> bytes:
    try:
        return _encode(event) + b"\n"
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(event).encode("ascii") + b"\n"
