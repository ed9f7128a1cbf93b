"""Connections to the service, one for each request under way.

A request ends when its caller's connection does. On one that others use as well it would go on, and cost, after its
program has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cortexd.client import AsyncClient

_KEPT = 4
_REST_S = 10.0


class Connections:
    """To the service on `bus`. They are kept for the next requests: all of them for `rest_s`, then a few."""

    def __init__(self, bus: str, rest_s: float = _REST_S) -> None:
        self._bus = bus
        self._rest_s = rest_s
        self._free: list[AsyncClient] = []  # the last one is the next to be used
        self._least_free = 0  # since the sweep before
        self._sweep: asyncio.Task[None] | None = None

    @property
    def kept(self) -> int:
        """Those that nobody uses."""
        return len(self._free)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[AsyncClient]:
        """Nobody else's meanwhile."""
        client = self._free.pop() if self._free else AsyncClient(self._bus)
        self._least_free = min(self._least_free, len(self._free))
        try:
            yield client
        finally:
            self._free.append(client)
            if len(self._free) > _KEPT and self._sweep is None:
                self._sweep = asyncio.create_task(self._close_idle())

    async def _close_idle(self) -> None:
        """Until a few are left: those that nobody has needed for a while."""
        while len(self._free) > _KEPT:
            self._least_free = len(self._free)
            await asyncio.sleep(self._rest_s)
            for _ in range(min(self._least_free, len(self._free) - _KEPT)):
                await self._free.pop(0).close()
        self._sweep = None

    async def close(self) -> None:
        """Those that nobody uses, for good."""
        if self._sweep is not None:
            self._sweep.cancel()
        while self._free:
            await self._free.pop().close()
