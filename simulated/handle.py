"""Simulated providers inside a test: their own thread with its own loop, steered from any other thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from simulated.behaviour import Behaviour
from simulated.billing import Bill
from simulated.control import base_url
from simulated.instance import MAX_RECEIVED, Counts, Received
from simulated.server import Server

_TIMEOUT_S = 10.0
T = TypeVar("T")


class SimulatedProviders:
    """`with` and `async with`, or start() and stop(). The methods are those of ControlClient."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self._port = port
        self._server = Server()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Returns once the port is open. Raises OSError when it is taken."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulated-providers", daemon=True)
        self._thread.start()
        try:
            listening = asyncio.run_coroutine_threadsafe(self._server.start(self._host, self._port), self._loop)
            self._port = listening.result(_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Close all connections and end the thread. Does nothing the second time."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT_S)
        self._loop.close()
        self._loop = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    @property
    def base(self) -> str:
        """`http://HOST:PORT`, as ControlClient takes it."""
        return f"http://{self._host}:{self._port}"

    def url(self, name: str, wire: str | None = None) -> str:
        """The base URL of an instance, see `base_url`."""
        return base_url(self.base, name, wire)

    def behave(self, name: str, *behaviours: Behaviour) -> None:
        """Behaviours with `times` come first, in order, and replace any still waiting; one without `times` stays."""
        self._on_loop(lambda: self._server.instance(name).behave(behaviours))

    def reset(self, name: str) -> None:
        self._on_loop(lambda: self._server.instance(name).reset())

    def counts(self, name: str) -> Counts:
        return self._on_loop(lambda: self._server.instance(name).count())

    def billed(self, name: str) -> Bill:
        return self._on_loop(lambda: self._server.instance(name).billed.copy())

    def billed_undelivered(self, name: str) -> Bill:
        return self._on_loop(lambda: self._server.instance(name).billed_undelivered.copy())

    def received(self, name: str, last: int = MAX_RECEIVED) -> list[Received]:
        return self._on_loop(lambda: self._server.instance(name).received(last))

    def _on_loop(self, read: Callable[[], T]) -> T:
        """What `read` gives on the server's loop, so that figures belong together."""
        assert self._loop is not None, "not started"

        async def call() -> T:
            return read()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(_TIMEOUT_S)
