"""Connections to the service, one for each request under way.

A request ends when its caller's connection does. On one that others use as well it would go on, and cost, after its
program has left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cortexd.client import AsyncClient

_KEPT = 4


class Connections:
    """To the service on `bus`. A few are kept for the next requests."""

    def __init__(self, bus: str) -> None:
        self._bus = bus
        self._free: list[AsyncClient] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[AsyncClient]:
        """Nobody else's meanwhile."""
        client = self._free.pop() if self._free else AsyncClient(self._bus)
        try:
            yield client
        finally:
            if len(self._free) < _KEPT:
                self._free.append(client)
            else:
                await client.close()

    async def close(self) -> None:
        """Those that nobody uses."""
        while self._free:
            await self._free.pop().close()
