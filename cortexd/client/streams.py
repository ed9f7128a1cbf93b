"""Stream: one answer as it arrives, for asyncio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from cortexd.client.pipe import Lines, Pipe
from cortexd.client.results import Completion
from cortexd.client.stream_events import DoneEvent, FallbackEvent, StreamEvent, TextEvent, event_of
from cortexd.errors import Cancelled, CortexError, ServiceUnavailable


class Stream:
    """An async iterator over the pieces of the answer's text; events() tells everything else too.

    Begins with `async with`, or with the first piece asked for. Leaving it before its end cancels the request: by
    close(), by the end of `async with`, by cancelling the task that reads, or by dropping it. An answer that fails
    raises one of cortexd.errors, Timeout where nothing comes for the client's `timeout_s`.

    When a provider fails in the middle another one starts the answer again: then `restarted` is True and `text`
    starts anew, while the pieces of the first have been given out. With on_break="continue" it goes on instead.
    """

    def __init__(self, begin: Callable[[], Awaitable[tuple[str, int]]], timeout_s: float) -> None:
        """`begin` gives the request's id and a pipe's read end."""
        self.request_id = ""
        self.restarted = False
        self._begin = begin
        self._timeout_s = timeout_s
        self._pipe: Pipe | None = None
        self._lines = Lines()
        self._ready: deque[StreamEvent] = deque()  # of one read of the pipe at most
        self._reading = asyncio.Lock()
        self._ended = False
        self._failure: CortexError | None = None
        self._pieces: list[str] = []
        self._completion: Completion | None = None

    @property
    def text(self) -> str:
        """The text given out so far of the answer that counts."""
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

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

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while True:
            event = await self.next_event()
            if isinstance(event, TextEvent):
                return event.text

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Text, tool calls, fallbacks and the end, in order."""
        try:
            while True:
                yield await self.next_event()
        except StopAsyncIteration:
            return

    async def next_event(self) -> StreamEvent:
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

    def take(self) -> StreamEvent:
        """The next event that has been read. Raises StopAsyncIteration where there is none."""
        try:
            event = self._ready.popleft()
        except IndexError:
            raise self._failure or StopAsyncIteration from None
        if isinstance(event, TextEvent):
            self._pieces.append(event.text)
        elif isinstance(event, FallbackEvent):
            self.restarted, self._pieces = True, []
        elif isinstance(event, DoneEvent):
            self._completion = replace(event.completion, content=self.text)
            return DoneEvent(self._completion)
        return event

    async def _open(self) -> None:
        if self._pipe is None and not self._ended:
            self.request_id, fd = await self._begin()
            self._pipe = Pipe(fd)
            if self._ended:  # closed meanwhile
                self._pipe.close()

    async def _read(self) -> None:
        assert self._pipe is not None
        try:
            self._sort(await self._pipe.read(self._timeout_s))
        except asyncio.CancelledError:
            self._end(Cancelled("the stream's reader was cancelled, and the request with it"))
            raise
        except OSError as error:
            self._end(ServiceUnavailable(f"the stream cannot be read: {error.strerror}"))
        except CortexError as error:
            self._end(error)

    def _sort(self, data: bytes) -> None:
        if not data:
            raise ServiceUnavailable("the answer broke off: cortexd ended in the middle of it")
        for line in self._lines.feed(data):
            event = event_of(line)
            if isinstance(event, CortexError):
                raise event
            if event is not None:
                self._ready.append(event)
            if isinstance(event, DoneEvent):
                self._end(None)
                return

    def _end(self, failure: CortexError | None) -> None:
        """Only the first end counts."""
        if not self._ended:
            self._ended, self._failure = True, failure
        if self._pipe is not None:
            self._pipe.close()
