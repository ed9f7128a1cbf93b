"""Noticing that the bus reads nothing more of what the daemon sends.

dbus-daemon stops reading from a service whose answers two callers leave unread by the megabyte. Small answers then
vanish in the socket's buffer, and nothing but a question of our own shows it: it is asked a moment after something was
sent, and never while nothing is.

A bus that has no time leaves it unanswered too. One that is deaf to us alone serves whoever comes new, in several
rounds of its loop each, while nothing leaves our socket; one that has no time serves nobody, or slowly, and is waited
for longer.
"""

from __future__ import annotations

import asyncio
import logging

from cortexd.connection import BusException, BusTimeout, Connection

log = logging.getLogger("cortexd.daemon")

_AFTER_S = 1.0  # from what was sent first to the question
_TICK_S = 0.5  # ticks are of our own loop, not of a clock
_DEAF_TICKS = 5  # in a row in which the bus served somebody else and read nothing of ours
_SILENT_TICKS = 20  # in a row without any sign of life
_SLOW_TICKS = 60  # in which it moved less than …
_SLOW_BYTES = 2**20  # … for us: the answer may stand behind 127 MiB of calls
_LONGEST_S = 120.0


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
    waiting = _Waiting(connection)
    await asyncio.wait({asking}, timeout=_TICK_S)  # nearly always the answer: nobody else is asked meanwhile
    while not asking.done():
        if reason := waiting.in_vain:
            return reason
        served, _ = await asyncio.gather(_serves_others(address), asyncio.wait({asking}, timeout=_TICK_S))
        waiting.tick(served)
    return "" if _is_a_sign_of_life(asking) else _unanswered(_LONGEST_S / _TICK_S)


class _Waiting:
    """The ticks without an answer. What we send stands in the socket until the bus reads it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sent, self._received = connection.sent, connection.received_bytes
        self._mark = self._moved
        self._deaf = self._silent = self._slow = 0

    def tick(self, served: bool) -> None:
        """Count one; `served`: somebody else was, meanwhile."""
        unread, came = self._nothing_was_read(), self._something_came()
        self._deaf = self._deaf + 1 if served and unread else 0
        self._silent = 0 if served or came or not unread else self._silent + 1
        self._slow += 1
        if self._moved - self._mark > _SLOW_BYTES:
            self._mark, self._slow = self._moved, 0

    @property
    def in_vain(self) -> str:
        """Why to wait no longer."""
        if self._deaf >= _DEAF_TICKS:
            return f"the bus has not read what we sent for {self._deaf * _TICK_S:g} s and served others"
        if self._silent >= _SILENT_TICKS:
            return f"the bus has not read what we sent for {self._silent * _TICK_S:g} s"
        return _unanswered(self._slow) if self._slow >= _SLOW_TICKS else ""

    @property
    def _moved(self) -> int:
        return self._sent.total + self._received

    def _nothing_was_read(self) -> bool:
        """Something stands there, and nothing shows that the bus has read any since the last look."""
        before, self._sent = self._sent, self._connection.sent
        return 0 < before.unread + self._sent.total - before.total <= self._sent.unread

    def _something_came(self) -> bool:
        before, self._received = self._received, self._connection.received_bytes
        return self._received > before


def _unanswered(ticks: float) -> str:
    return f"the bus has not answered for {ticks * _TICK_S:g} s"


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
