"""Accepting, until there is nobody to serve or somebody says so; no caller who is there by then is lost.

Where systemd holds the sockets, whoever comes while the bridge leaves waits in them, and is the next one's. asyncio's
own servers drop whom they have accepted at the moment of their end, so this accepts by itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from cortexd.bridge.lines import Lines

_FIRST_WORD_S = 2.0  # of one who has connected, before the bridge leaves
_LOOK_S = 0.05
_WITHOUT_DESCRIPTORS_S = 1.0


class Acceptor:
    """Makes a connection of `protocol` out of each that comes to `sockets`."""

    def __init__(self, sockets: Sequence[socket.socket], protocol: Callable[[], asyncio.Protocol]) -> None:
        self._sockets = sockets
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self.accepting = False
        self.pending: set[asyncio.Task[None]] = set()
        for one in sockets:
            one.setblocking(False)

    def begin(self) -> None:
        self.accepting = True
        for one in self._sockets:
            self._loop.add_reader(one, self._accept, one)

    def end(self) -> None:
        """Nobody is accepted from now on; `pending` may become connections still."""
        self.accepting = False
        for one in self._sockets:
            self._loop.remove_reader(one)

    def _accept(self, one: socket.socket) -> None:
        try:
            connection, _ = one.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            self._loop.remove_reader(one)
            self._loop.call_later(_WITHOUT_DESCRIPTORS_S, self._again, one)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._connect(connection))
        self.pending.add(task)
        task.add_done_callback(self.pending.discard)

    async def _connect(self, connection: socket.socket) -> None:
        with suppress(OSError):  # it has left already
            await self._loop.connect_accepted_socket(self._protocol, connection)

    def _again(self, one: socket.socket) -> None:
        if self.accepting:
            self._loop.add_reader(one, self._accept, one)


async def serve(acceptor: Acceptor, lines: Lines, idle_s: float, done: asyncio.Event) -> None:
    """Until `done`, or until nobody was connected for `idle_s`; 0 waits for `done` alone. Requests may be under way
    still when it returns."""
    while True:
        acceptor.begin()
        await _until(lines, idle_s, done)
        acceptor.end()
        if acceptor.pending:
            await asyncio.wait(acceptor.pending)
        if done.is_set():
            return await _hear_out(lines)
        if not lines.used:
            return None


async def _until(lines: Lines, idle_s: float, done: asyncio.Event) -> None:
    waits: list[asyncio.Task[Any]] = [asyncio.create_task(done.wait())]
    if idle_s:
        waits.append(asyncio.create_task(lines.idle(idle_s)))
    _, left = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()


async def _hear_out(lines: Lines) -> None:
    """Whoever has connected may still say what he wants."""
    for _ in range(round(_FIRST_WORD_S / _LOOK_S)):
        if not lines.unanswered:
            return
        await asyncio.sleep(_LOOK_S)
