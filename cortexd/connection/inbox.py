"""What the bus sends: large reads from the socket, cut into frames, with the descriptors that came along."""

from __future__ import annotations

import array
import asyncio
import socket
import time
from collections.abc import Callable

from cortexd.connection.decode import frame_length
from cortexd.connection.descriptors import MAX_FDS_RECEIVED, close_all
from cortexd.connection.errors import Malformed

_READ_BYTES = 128 * 1024
_LARGE_BYTES = 256 * 1024  # a message of that size is read into its own place, not gathered and copied
_TURN_FRAMES = 32
_TURN_S = 0.005
_ANCILLARY_BYTES = socket.CMSG_SPACE(MAX_FDS_RECEIVED * array.array("i").itemsize)


class Inbox:
    """Calls `handle` with each frame, a bounded number per turn of the loop, and `on_lost` once with the reason.

    `wants` is asked about a large frame that has only begun to arrive, by its beginning and its length; one that is not
    wanted is passed over as it comes.
    """

    def __init__(
        self,
        sock: socket.socket,
        handle: Callable[[bytes | bytearray], None],
        on_lost: Callable[[str], None],
        wants: Callable[[bytes, int], bool],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._handle = handle
        self._on_lost = on_lost
        self._wants = wants
        self._chunk = memoryview(bytearray(_READ_BYTES))
        self._buffer = bytearray()
        self._start = 0
        self._large: memoryview | None = None  # the message that is being read, where it is large …
        self._filled = 0  # … and how much of it is there
        self._unwanted = 0  # bytes still to come of a message that is passed over
        # Those of the one message that has begun to arrive: the kernel ends a read at the end of each piece that
        # carried descriptors, and nothing more is read before all whole frames are handled.
        self._fds: list[int] = []
        self._reading = False
        self._next_turn: asyncio.Handle | None = None
        self._held = False
        self.received_bytes = 0
        self._closed = False
        self._read(True)

    def take_fds(self, count: int) -> list[int]:
        """The descriptors of the frame just handled, now the caller's; fewer where the kernel dropped some."""
        fds, self._fds = self._fds[:count], self._fds[count:]
        return fds

    def close_fds(self) -> None:
        """Close every descriptor not taken yet."""
        close_all(self._fds)
        self._fds = []

    def hold(self) -> None:
        """Handle nothing more until release()."""
        if not self._held:
            self._held = True
            self._read(False)

    def release(self) -> None:
        if self._held:
            self._held = False
            self._go_on()

    def close(self) -> None:
        self._closed = True
        self._read(False)
        self.close_fds()

    def _on_readable(self) -> None:
        try:
            alive = self._receive()
        except BlockingIOError:
            return
        except OSError as error:
            self._on_lost(f"the bus cannot be read: {error.strerror}")
            return
        if alive:
            self._take_turn()
        else:
            self._on_lost("the bus ended the connection")

    def _take_turn(self) -> None:
        """Handle what has arrived. What one turn does not finish waits for the next, and nothing is read meanwhile."""
        self._next_turn = None
        end = time.monotonic() + _TURN_S
        for _ in range(_TURN_FRAMES):
            try:
                frame = self._next_frame()
            except Malformed as error:
                self._on_lost(f"the bus sent what is no message: {error}")
                return
            if frame is None:
                self._read(True)
                return
            self._handle(frame)
            if self._held or self._closed:
                return
            if time.monotonic() > end:
                break
        self._go_on()

    def _go_on(self) -> None:
        if not self._closed:
            self._read(False)
            self._next_turn = self._loop.call_soon(self._take_turn)

    def _read(self, wanted: bool) -> None:
        """Start or stop reading from the socket; either way no further turn is due."""
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        if wanted and not self._reading:
            self._loop.add_reader(self._sock, self._on_readable)
        elif self._reading and not wanted:
            self._loop.remove_reader(self._sock)
        self._reading = wanted

    def _receive(self) -> bool:
        """Read once; False at the end of the stream. Raises BlockingIOError or another OSError."""
        flags = socket.MSG_CMSG_CLOEXEC
        into = self._chunk if self._large is None else self._large[self._filled :]
        count, ancillary, _, _ = self._sock.recvmsg_into([into], _ANCILLARY_BYTES, flags)
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
                self._fds.extend(fds)
        self.received_bytes += count
        if self._large is None:
            passed = min(self._unwanted, count)
            self._unwanted -= passed
            self._buffer += self._chunk[passed:count]
        else:
            self._filled += count
        return count > 0

    def _next_frame(self) -> bytes | bytearray | None:
        """The next whole message, None until it is there. Raises Malformed when the stream cannot be followed."""
        if self._large is not None:
            return self._large_frame(self._large)
        length = frame_length(self._buffer, self._start)
        if length is None or len(self._buffer) - self._start < length:
            del self._buffer[: self._start]
            self._start = 0
            if length is not None and length >= _LARGE_BYTES:
                self._begin_large(length)
            return None
        frame = bytes(memoryview(self._buffer)[self._start : self._start + length])
        self._start += length
        return frame

    def _begin_large(self, length: int) -> None:
        if not self._wants(bytes(self._buffer), length):
            self._unwanted = length - len(self._buffer)
            self._buffer.clear()
            return
        self._filled = len(self._buffer)
        frame = bytearray(length)
        frame[: self._filled] = self._buffer
        self._buffer = bytearray()
        self._large = memoryview(frame)

    def _large_frame(self, large: memoryview) -> bytearray | None:
        if self._filled < len(large):
            return None
        self._large = None
        frame: bytearray = large.obj  # type: ignore[assignment]
        return frame
