"""Noticing that the bus reads nothing more of what the daemon sends.

dbus-daemon stops reading from a service whose answers two callers leave unread by the megabyte. Small answers then
vanish in the socket's buffer, and nothing but a question of our own shows it: it is asked a moment after something was
sent, and never while nothing is.

A bus that has no time leaves it unanswered too. One that is deaf to us alone serves whoever comes new, in several
rounds of its loop each, while nothing leaves our socket; one that has no time serves nobody, and is waited for longer.
"""

from __future__ import annotations

import asyncio
import logging

from cortexd.connection import BusException, BusTimeout, Connection

log = logging.getLogger("cortexd.daemon")

_AFTER_S = 1.0  # from what was sent first to the question
_TICK_S = 0.5  # ticks are of our own loop, not of a clock
_DEAF_TICKS = 5  # in a row in which the bus served somebody else and read nothing of ours
_SILENT_TICKS = 20  # whatever it does for others; leaving ends every request
_BUSY_BYTES = 2**20  # moved in one tick: the answer stands in a queue, and is waited for up to …
_LONGEST_S = 30.0


async def bus_lost(connection: Connection, address: str) -> str:
    """Why the bus at `address` is gone, once it is."""
    closed = asyncio.create_task(connection.wait_closed())
    silent = asyncio.create_task(_until_silent(connection, address))
    try:
        await asyncio.wait({closed, silent}, return_when=asyncio.FIRST_COMPLETED)
        return closed.result() if closed.done() else silent.result()
    finally:
        closed.cancel()
        silent.cancel()


async def _until_silent(connection: Connection, address: str) -> str:
    while True:
        await connection.used.wait()
        await asyncio.sleep(_AFTER_S)
        before = connection.sent.messages
        asking = asyncio.create_task(connection.call_bus("GetId", timeout_s=_LONGEST_S))
        try:
            reason = await _silence(asking, connection, address)
        finally:
            asking.cancel()
        if reason:
            return reason
        if connection.sent.messages == before + 1:  # nothing but the question
            connection.used.clear()


async def _silence(asking: asyncio.Task[object], connection: Connection, address: str) -> str:
    """Wait for the answer; in words what there was in its place, "" for a sign of life."""
    queue, deaf, silent = _Queue(connection), 0, 0
    await asyncio.wait({asking}, timeout=_TICK_S)  # nearly always the answer: nobody else is asked meanwhile
    while not asking.done():
        if deaf == _DEAF_TICKS:
            return f"the bus has not read what we sent for {deaf * _TICK_S:g} s and served others"
        if silent == _SILENT_TICKS:
            return f"the bus has not read what we sent for {silent * _TICK_S:g} s"
        moved = connection.moved_bytes
        served, _ = await asyncio.gather(_serves_others(address), asyncio.wait({asking}, timeout=_TICK_S))
        deaf = deaf + 1 if queue.stands() and served else 0
        silent = 0 if connection.moved_bytes - moved > _BUSY_BYTES else silent + 1
    return "" if _is_a_sign_of_life(asking) else f"the bus has not answered for {_LONGEST_S:g} s"


class _Queue:
    """What stands in the socket: what we send adds to it, and what the bus reads leaves it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._seen = connection.sent

    def stands(self) -> bool:
        """Whether there is something, and nothing shows that the bus has read any since the last look."""
        before, now = self._seen, self._connection.sent
        self._seen = now
        return 0 < before.unread + now.total - before.total <= now.unread


async def _serves_others(address: str) -> bool:
    """Whether the bus lets somebody new in, and tells its name, within a tick: that takes it six rounds."""
    try:
        async with asyncio.timeout(_TICK_S):
            await (await Connection.open(address, fds=False)).close()
    except (TimeoutError, BusException) as error:
        log.debug("the bus serves nobody new: %s", error)
        return False
    return True


def _is_a_sign_of_life(asking: asyncio.Task[object]) -> bool:
    error = asking.exception()
    if error is not None:
        log.debug("asked the bus for a sign of life: %s", error)
    return not isinstance(error, BusTimeout)
