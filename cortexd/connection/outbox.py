"""What we send: written at once while the socket takes it, queued and written later when it is full.

dbus-daemon stops reading from a connection whose unread messages fill 127 MiB, whoever should read them: two
clients that never read can silence a service for good. So a bus that takes nothing for a while counts as lost.
"""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import logging
import socket
import termios
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from cortexd.connection.descriptors import close_all

log = logging.getLogger("cortexd.connection")

_TURN_BYTES = 1024 * 1024  # written per turn of the loop, so that a long queue delays nobody
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF, errno.ESHUTDOWN})


@dataclass(slots=True)
class Outgoing:
    """One message on its way. It owns `fds`. `substitute` goes out in its place where the kernel refuses those."""

    data: memoryview
    fds: list[int] = field(default_factory=list)
    substitute: memoryview = field(default=memoryview(b""))

    def discard_fds(self) -> None:
        close_all(self.fds)
        self.fds = []


class Sent(NamedTuple):
    """Messages sent so far, the bytes that the socket has taken, and what it still holds of them, the kernel's own
    bytes included: unread."""

    messages: int
    total: int
    unread: int


class Outbox:
    """`on_progress` is called whenever the queue got shorter, `on_lost` with the reason when the socket is dead.

    `messages` counts what was put, `sent_bytes` what the kernel has taken; `used` is set by each message, and cleared
    by whoever looks after it.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_progress: Callable[[], None],
        on_lost: Callable[[str], None],
        *,
        stall_s: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._on_progress = on_progress
        self._on_lost = on_lost
        self._queue: deque[Outgoing] = deque()
        self._armed = False
        self._stall_s = stall_s
        self._watch: asyncio.TimerHandle | None = None
        self._moved = False
        self._closed = False
        self._gave_up = False
        self._empty = asyncio.Event()
        self._empty.set()
        self.queued_bytes = 0
        self.sent_bytes = 0
        self.messages = 0
        self.used = asyncio.Event()

    @property
    def sent(self) -> Sent:
        held = array.array("i", (0,))
        with suppress(OSError, ValueError):  # closed
            fcntl.ioctl(self._sock, termios.TIOCOUTQ, held)
        return Sent(self.messages, self.sent_bytes, held[0])

    def send(self, data: bytes | bytearray) -> None:
        """As put(), of what brings no descriptors: nearly always the socket takes it whole, and nothing is queued."""
        sent = 0
        if not self._queue and not self._closed:
            with suppress(OSError):  # full, or dead: put() finds out
                sent = self._sock.send(data)
        self.sent_bytes += sent
        if sent < len(data):
            self.put(Outgoing(memoryview(data)[sent:]))
        else:
            self._counted()

    def put(self, outgoing: Outgoing) -> None:
        """Send, or queue behind what waits already."""
        if self._closed:
            self._gave_up = True
            outgoing.discard_fds()
            return
        self._queue.append(outgoing)
        self.queued_bytes += len(outgoing.data)
        self._counted()
        self._empty.clear()
        if not self._armed:
            self._write()

    def _counted(self) -> None:
        self.messages += 1
        self.used.set()

    async def drained(self) -> bool:
        """Wait until nothing is queued; False where close() gave up what was."""
        await self._empty.wait()
        return not self._gave_up

    def close(self) -> None:
        self._closed = True
        self._gave_up = self._gave_up or bool(self._queue)
        self._arm(False)
        for outgoing in self._queue:
            outgoing.discard_fds()
        self._queue.clear()
        self.queued_bytes = 0
        self._empty.set()

    def _write(self) -> None:
        budget = _TURN_BYTES
        try:
            while self._queue and budget > 0:
                budget -= self._write_some(self._queue[0])
        except BlockingIOError:
            pass
        except OSError as error:
            self._on_lost(f"the bus takes nothing more: {error.strerror}")
            return
        self._arm(bool(self._queue))
        if not self._queue:
            self._empty.set()
        self._on_progress()

    def _write_some(self, head: Outgoing) -> int:
        sent = self._send_with_fds(head) if head.fds else self._sock.send(head.data)
        self._moved = True
        head.data = head.data[sent:]
        self.queued_bytes -= sent
        self.sent_bytes += sent
        if not head.data:
            self._queue.popleft()
        return sent

    def _send_with_fds(self, head: Outgoing) -> int:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", head.fds))
        try:
            sent = self._sock.sendmsg([head.data], [rights])
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno in _GONE:
                raise
            log.error("file descriptors not sent: %s", error.strerror)
            self.queued_bytes += len(head.substitute) - len(head.data)
            head.data = head.substitute
            sent = 0
        head.discard_fds()  # they go with the first byte, once
        return sent

    def _arm(self, wanted: bool) -> None:
        if wanted and not self._armed:
            self._loop.add_writer(self._sock, self._write)
            self._watch_for_stall()
        elif self._armed and not wanted:
            self._loop.remove_writer(self._sock)
            if self._watch is not None:
                self._watch.cancel()
        self._armed = wanted

    def _watch_for_stall(self) -> None:
        self._moved = False
        self._watch = self._loop.call_later(self._stall_s, self._judge)

    def _judge(self) -> None:
        if self._moved:
            self._watch_for_stall()
        else:
            self._on_lost(f"the bus has taken nothing for {self._stall_s:g} s")
