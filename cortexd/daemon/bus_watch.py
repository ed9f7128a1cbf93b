"""Noticing that the bus reads nothing more of what the daemon sends.

dbus-daemon stops reading from a service whose answers two callers leave unread by the megabyte. Small answers then
vanish in the socket's buffer, and nothing but a question of our own shows it: it is asked a moment after something was
sent, and never while nothing is.
"""

from __future__ import annotations

import asyncio
import logging

from cortexd.connection import BusTimeout, Connection

log = logging.getLogger("cortexd.daemon")

_AFTER_S = 1.0  # from what was sent first to the question
_TICK_S = 0.5
_SILENT_TICKS = 20  # of our own loop, not of a clock; a busy bus is slow, and leaving ends every request
_BUSY_BYTES = 2**20  # moved in one tick: the answer stands in a queue, and is waited for up to …
_LONGEST_S = 30.0


async def bus_lost(connection: Connection) -> str:
    """Why the bus is gone, once it is."""
    closed = asyncio.create_task(connection.wait_closed())
    silent = asyncio.create_task(_until_silent(connection))
    try:
        await asyncio.wait({closed, silent}, return_when=asyncio.FIRST_COMPLETED)
        return closed.result() if closed.done() else silent.result()
    finally:
        closed.cancel()
        silent.cancel()


async def _until_silent(connection: Connection) -> str:
    while True:
        await connection.used.wait()
        await asyncio.sleep(_AFTER_S)
        before = connection.messages_sent
        asking = asyncio.create_task(connection.call_bus("GetId", timeout_s=_LONGEST_S))
        try:
            answered = await _answered(asking, connection)
        finally:
            asking.cancel()
        if not answered:
            return f"the bus has not read what we sent for {_SILENT_TICKS * _TICK_S:g} s"
        if connection.messages_sent == before + 1:  # nothing but the question
            connection.used.clear()


async def _answered(asking: asyncio.Task[object], connection: Connection) -> bool:
    silent = 0
    while silent < _SILENT_TICKS:
        moved = connection.moved_bytes
        await asyncio.wait({asking}, timeout=_TICK_S)
        if asking.done():
            return _is_a_sign_of_life(asking)
        silent = 0 if connection.moved_bytes - moved > _BUSY_BYTES else silent + 1
    return False


def _is_a_sign_of_life(asking: asyncio.Task[object]) -> bool:
    error = asking.exception()
    if error is not None:
        log.debug("asked the bus for a sign of life: %s", error)
    return not isinstance(error, BusTimeout)
