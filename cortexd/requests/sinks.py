"""Where a stream's events go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from cortexd.errors import Cancelled, CortexError, Timeout
from cortexd.providers import Delta
from cortexd.requests.results import Completion


class DeltaSink(Protocol):
    """Takes an answer as it grows. Each event waits while the reader is behind."""

    @property
    def spoke(self) -> bool:
        """Whether any delta has been sent."""

    @property
    def behind(self) -> bool:
        """Whether the last event still waits, or waited in vain, for its reader."""

    def asks(self, provider: str, model: str, reason: str) -> None:
        """Who is asked now, and why; what comes next is theirs."""

    async def deltas(self, deltas: Sequence[Delta]) -> None: ...

    async def fallback(self, provider: str, model: str, reason: str) -> None: ...

    async def continued(self, provider: str, model: str, reason: str) -> None: ...


class Sink(DeltaSink, Protocol):
    """Takes the end too. `gone` is done once the reader has left before the end."""

    @property
    def gone(self) -> asyncio.Future[None]: ...

    async def done(self, completion: Completion) -> None: ...

    async def failed(self, error: CortexError) -> None: ...

    def close(self) -> None:
        """No more events; the reader sees the end."""


class SharedSink:
    """The sink of a request that others may have joined: where they have, it goes on without a reader who leaves, or
    who reads nothing for too long. `others` tells whether somebody else waits for the answer.
    """

    def __init__(self, sink: Sink, others: Callable[[], bool]) -> None:
        self._sink = sink
        self._others = others
        self._alone = False

    @property
    def spoke(self) -> bool:
        return self._sink.spoke

    @property
    def behind(self) -> bool:
        return not self._alone and self._sink.behind

    def asks(self, provider: str, model: str, reason: str) -> None:
        if not self._alone:
            self._sink.asks(provider, model, reason)

    async def deltas(self, deltas: Sequence[Delta]) -> None:
        await self._while_read(lambda: self._sink.deltas(deltas))

    async def fallback(self, provider: str, model: str, reason: str) -> None:
        await self._while_read(lambda: self._sink.fallback(provider, model, reason))

    async def continued(self, provider: str, model: str, reason: str) -> None:
        await self._while_read(lambda: self._sink.continued(provider, model, reason))

    async def _while_read(self, event: Callable[[], Awaitable[None]]) -> None:
        if self._alone:
            return
        try:
            await event()
        except (Cancelled, Timeout) as error:
            if not self._others():
                raise
            self._alone = True
            await self._sink.failed(error)
            self._sink.close()


async def tell_whole(completion: Completion, sink: DeltaSink) -> None:
    """An answer that was there already, as deltas."""
    sink.asks(completion.provider, completion.model, completion.route_reason)
    answer = completion.answer
    deltas: list[Delta] = [*filter(None, [completion.content]), *answer.tool_calls]
    if answer.raw is not None:
        deltas = [answer.raw]
    if deltas:
        await sink.deltas(deltas)
