"""A router's ways to the daemon: one client for all threads, one for each event loop, and no SDK's client at all."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, NoReturn

from cortexd.client import AsyncClient, Client
from cortexd.library.errors import LLMRouterError

# polkit may ask a person for a password: who wrote the program waits for its answers anyway
_INTERACTIVE = True


@dataclass(frozen=True, slots=True)
class _Bound:
    """A client and the generator that closes it when its loop ends, or when nobody holds it any more."""

    client: AsyncClient
    keeper: AsyncGenerator[None, None]


class Connections:
    """Clients on `bus` ("system", "session" or an address), made when first needed and again after a close."""

    def __init__(self, bus: str) -> None:
        self._bus = bus
        self._lock = threading.Lock()
        self._for_threads: list[Client] = []  # one at most, of the process `_pid`
        self._pid = 0
        self._of_loop: dict[AbstractEventLoop, _Bound] = {}
        weakref.finalize(self, _close_elsewhere, self._for_threads).atexit = False

    def for_threads(self) -> Client:
        """Raises LLMRouterError in a fork of the process that has it: its thread is not there."""
        with self._lock:
            if not self._for_threads:
                self._for_threads.append(Client(self._bus, interactive=_INTERACTIVE))
                self._pid = os.getpid()
            if self._pid != os.getpid():
                raise LLMRouterError("this router was used before the process forked: make one after the fork")
            return self._for_threads[0]

    async def for_this_loop(self) -> AsyncClient:
        """Closed when the running loop shuts its asynchronous generators down, as `asyncio.run` does."""
        loop = asyncio.get_running_loop()
        with self._lock:
            for closed in [other for other in self._of_loop if other.is_closed()]:
                del self._of_loop[closed]
            found = self._of_loop.get(loop)
            if found is None:
                client = AsyncClient(self._bus, interactive=_INTERACTIVE)
                found = self._of_loop[loop] = _Bound(client, _closing_with_the_loop(client))
                await anext(found.keeper)  # does not wait
            return found.client

    def close(self) -> None:
        """Leave the bus as threads use it; calls under way fail."""
        with self._lock:
            leaving = [*self._for_threads] if self._pid == os.getpid() else []
            self._for_threads.clear()
        for client in leaving:
            client.close()

    async def aclose(self) -> None:
        """Leave the bus as the running loop uses it, and threads."""
        with self._lock:
            bound = self._of_loop.pop(asyncio.get_running_loop(), None)
        if bound is not None:
            await bound.keeper.aclose()
        self.close()

    def blocking(self, _provider: str) -> None:
        """There is no SDK's client."""

    def of_this_loop(self, _provider: str) -> None:
        """There is no SDK's client."""

    def replace(self, provider: str, _asynchronous: bool, _client: Any) -> NoReturn:
        raise AttributeError(f"with bus= cortexd asks {provider}, and no client of this program: leave out bus=")

    def restore(self, _provider: str, _asynchronous: bool) -> None:
        """Nothing was replaced."""


async def _closing_with_the_loop(client: AsyncClient) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.close()


def _close_elsewhere(clients: list[Client]) -> None:
    """In a thread of its own: a router may be collected on any, also on the one that its client would wait for."""
    for client in clients:
        threading.Thread(target=client.close, name="cortexd-client-close", daemon=True).start()
