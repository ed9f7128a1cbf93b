"""The read end of a pipe for asyncio, and the lines in what comes out of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from cortexd.errors import Internal, Timeout

_READ_BYTES = 64 * 1024
# JSON may write each byte of an answer of 16 MiB as six, and `done` repeats the tool calls
MAX_LINE_BYTES = 128 * 2**20


class Pipe:
    """Owns `fd`: closed by close(), and when nobody holds this any longer. The loop holds it only during read()."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiter: asyncio.Future[None] | None = None
        self._stop_watching: Callable[[], object] | None = None
        os.set_blocking(fd, False)

    def __del__(self) -> None:
        self.close()

    async def read(self, timeout_s: float) -> bytes:
        """What there is, at most 64 KiB; empty at the end and after close(). Raises Timeout, OSError.

        One reader at a time.
        """
        while self._fd >= 0:
            try:
                data = os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                await self._readable(timeout_s)
            else:
                await asyncio.sleep(0)  # a writer that is always ahead must not keep the loop from others
                return data
        return b""

    def close(self) -> None:
        """Tell the writer that nobody reads any more. A read() under way ends."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        if self._stop_watching is not None:
            self._stop_watching()
        if self._waiter is not None:
            _wake(self._waiter)
        os.close(fd)

    async def _readable(self, timeout_s: float) -> None:
        loop, fd = asyncio.get_running_loop(), self._fd
        self._waiter = waiter = loop.create_future()
        timer = loop.call_later(timeout_s, _fail, waiter, Timeout(f"nothing of the answer came within {timeout_s:g} s"))
        self._stop_watching = lambda: loop.remove_reader(fd)
        try:
            loop.add_reader(fd, _wake, waiter)
            await waiter
        finally:
            timer.cancel()
            self._waiter = self._stop_watching = None
            if self._fd >= 0:  # else close() did, and the number may be another file's
                loop.remove_reader(fd)


class Lines:
    """Cuts pieces into lines, however the pipe has cut them."""

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._begun: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now, without their ends. Raises Internal for one that is too long."""
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._begun, lines[0]))
            self._begun, self._size = [], 0
        self._begun.append(rest)
        self._size += len(rest)
        if self._size > self._max_bytes:
            raise Internal(f"the stream cannot be read: a line of more than {self._max_bytes:,} bytes")
        return lines


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _fail(waiter: asyncio.Future[None], error: Exception) -> None:
    if not waiter.done():
        waiter.set_exception(error)
