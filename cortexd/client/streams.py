"""Stream: one answer as it arrives, for asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Self

from cortexd.client.pipe import Lines
from cortexd.client.reading import Reading
from cortexd.client.stream_events import DoneEvent, FallbackEvent, StreamEvent, TextEvent, event_of
from cortexd.errors import CortexError


class Stream(Reading[StreamEvent]):
    """An async iterator over the pieces of the answer's text; events() tells everything else too.

    Begins with `async with`, or with the first piece asked for. Leaving it before its end cancels the request: by
    close(), by the end of `async with`, by cancelling the task that reads, or by dropping it. An answer that fails
    raises one of cortexd.errors, Timeout where nothing comes for the client's `timeout_s`.

    When a provider fails in the middle another one starts the answer again: then `restarted` is True and `text`
    starts anew, while the pieces of the first have been given out. With on_break="continue" it goes on instead.
    """

    def __init__(self, begin: Callable[[], Awaitable[tuple[str, int]]], timeout_s: float) -> None:
        """`begin` gives the request's id and a pipe's read end."""
        super().__init__(begin, timeout_s)
        self.restarted = False
        self._lines = Lines()
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        """The text given out so far of the answer that counts."""
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while True:
            event = await self.next_event()
            if isinstance(event, TextEvent):
                return event.text

    def _taken(self, event: StreamEvent) -> StreamEvent:
        if isinstance(event, TextEvent):
            self._pieces.append(event.text)
        elif isinstance(event, FallbackEvent):
            self.restarted, self._pieces = True, []
        elif isinstance(event, DoneEvent):
            self._completion = replace(event.completion, content=self.text)
            return DoneEvent(self._completion)
        return event

    def _sort(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            event = event_of(line)
            if isinstance(event, CortexError):
                raise event
            if event is not None:
                self._ready.append(event)
            if isinstance(event, DoneEvent):
                self._end(None)
                return
