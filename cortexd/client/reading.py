"""Reading: what comes out of a pipe that the service writes an answer into, event by event, for asyncio."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from cortexd.client.pipe import Pipe
from cortexd.client.results import Completion
from cortexd.errors import Cancelled, CortexError, ServiceUnavailable

E = TypeVar("E")


class Reading(ABC, Generic[E]):
    """Begins with `async with`, or with the first event asked for. Leaving it before its end cancels the request: by
    close(), by the end of `async with`, by cancelling the task that reads, or by dropping it. An answer that fails
    raises one of cortexd.errors, Timeout where nothing comes for the client's `timeout_s`.
    """

    def __init__(self, begin: Callable[[], Awaitable[tuple[str, int]]], timeout_s: float) -> None:
        """`begin` gives the request's id and a pipe's read end."""
        self.request_id = ""
        self._begin = begin
        self._timeout_s = timeout_s
        self._pipe: Pipe | None = None
        self._ready: deque[E] = deque()  # of one read of the pipe at most
        self._reading = asyncio.Lock()
        self._ended = False
        self._failure: CortexError | None = None
        self._completion: Completion | None = None

    @property
    def completion(self) -> Completion:
        """The whole answer and what it took. Raises RuntimeError before the end was read."""
        if self._completion is None:
            raise RuntimeError("the stream has not been read to its end")
        return self._completion

    @property
    def has_next(self) -> bool:
        """Whether take() has something to give without waiting, be it the end."""
        return bool(self._ready) or self._ended

    async def open(self) -> Self:
        """Send the request; returns before the first piece. Does nothing the second time."""
        async with self._reading:
            await self._open()
        return self

    async def close(self) -> None:
        """Read no more; a request under way is cancelled. Does nothing after the end."""
        self._end(None)
        self._ready.clear()

    aclose = close

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def events(self) -> AsyncIterator[E]:
        """All that is told, and the end, in order."""
        try:
            while True:
                yield await self.next_event()
        except StopAsyncIteration:
            return

    async def next_event(self) -> E:
        """The next of events(). Raises StopAsyncIteration at the end."""
        if not self.has_next:
            await self.fill()
        return self.take()

    async def fill(self) -> None:
        """Wait until `has_next`."""
        async with self._reading:
            await self._open()
            while not self.has_next:
                await self._read()

    def take(self) -> E:
        """The next event that has been read. Raises StopAsyncIteration where there is none."""
        try:
            return self._taken(self._ready.popleft())
        except IndexError:
            raise self._failure or StopAsyncIteration from None

    @abstractmethod
    def _taken(self, event: E) -> E:
        """Note what it says."""

    @abstractmethod
    def _sort(self, data: bytes) -> None:
        """Put the events in `data` into `_ready`, and end at the last. Raises CortexError."""

    async def _open(self) -> None:
        if self._pipe is None and not self._ended:
            self.request_id, fd = await self._begin()
            self._pipe = Pipe(fd)
            if self._ended:  # closed meanwhile
                self._pipe.close()

    async def _read(self) -> None:
        assert self._pipe is not None
        try:
            data = await self._pipe.read(self._timeout_s)
            if not data:
                raise ServiceUnavailable("the answer broke off: cortexd ended in the middle of it")
            self._sort(data)
        except asyncio.CancelledError:
            self._end(Cancelled("the stream's reader was cancelled, and the request with it"))
            raise
        except OSError as error:
            self._end(ServiceUnavailable(f"the stream cannot be read: {error.strerror}"))
        except CortexError as error:
            self._end(error)

    def _end(self, failure: CortexError | None) -> None:
        """Only the first end counts."""
        if not self._ended:
            self._ended, self._failure = True, failure
        if self._pipe is not None:
            self._pipe.close()
