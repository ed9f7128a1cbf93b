"""Accepting, until there is nobody to serve or somebody says so; no caller who is there by then is lost.

Where systemd holds the sockets, whoever comes while the bridge leaves waits in them, and is the next bridge's.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any

from cortexd.bridge.lines import Lines

_FIRST_WORD_S = 2.0  # of one who has connected, before the bridge leaves
_LOOK_S = 0.05


async def serve(
    sockets: Sequence[socket.socket],
    factory: Callable[[], asyncio.Protocol],
    lines: Lines,
    idle_s: float,
    done: asyncio.Event,
) -> None:
    """Until `done`, or until nobody was connected for `idle_s`; 0 waits for `done` alone. Requests may be under way
    still when it returns."""
    while True:
        servers = [await asyncio.get_running_loop().create_server(factory, sock=one.dup()) for one in sockets]
        await _until(lines, idle_s, done)
        for server in servers:
            server.close()
        await asyncio.sleep(0)  # whom asyncio has accepted has a line from now on
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
