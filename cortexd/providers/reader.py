"""Upstream: one attempt's reader bounds each wait for the provider, and lets its listener hear what has come.

Imports no SDK and nothing below one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from cortexd.domain.messages import Answer, ToolCall
from cortexd.providers.collecting import Collector
from cortexd.providers.listening import Delta, Listener
from cortexd.providers.patience import Patience


class Reader:
    """Of one attempt, from its start. `async with reader.patience` around it raises TimeoutError.

    Without a listener `limit_s` bounds the attempt as a whole; with one, each wait for the provider and no wait for the
    listener. `begun`: the provider has begun to answer. `interrupted`: an exception in flight is the listener's own.
    `own_call`: a tool call of the answer as the caller knows it.
    """

    def __init__(self, listener: Listener | None, limit_s: float) -> None:
        self._listener = listener
        self._began = time.monotonic()
        self._first_at: float | None = None
        self.patience = Patience(limit_s)
        self.begun = False
        self.interrupted = False
        self.own_call: Callable[[ToolCall], ToolCall] = lambda call: call

    @property
    def streamed(self) -> bool:
        """Whether the provider shall be asked for a stream."""
        return self._listener is not None

    @property
    def time_to_first_token_ms(self) -> int | None:
        return None if self._first_at is None else round((self._first_at - self._began) * 1000)

    def arrived(self) -> None:
        """Something came: the next wait begins."""
        self.begun = True
        if self._listener is not None:
            self.patience.begin()

    def note(self, collector: Collector) -> None:
        """Bring the listener's figures up to date."""
        listener = self._listener
        if listener is not None:
            if collector.output_bytes != listener.output_bytes:
                listener.grown_at = time.monotonic()
            listener.output_bytes = collector.output_bytes
            listener.usage = collector.usage
            listener.reported = collector.reported

    async def tell(self, deltas: Sequence[Delta]) -> None:
        """Let the listener hear, where there is one and something to tell."""
        if not deltas:
            return
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
        listener = self._listener
        if listener is None:
            return
        if listener.first_at is None:
            listener.first_at = now
        self.patience.rest()
        self.interrupted = True
        await listener.hear([delta if isinstance(delta, str) else self.own_call(delta) for delta in deltas])
        listener.heard_s += time.monotonic() - now
        self.interrupted = False
        self.patience.begin()

    async def tell_whole(self, answer: Answer) -> None:
        """The same for an answer that came in one piece."""
        if self._listener is None:
            return
        said = (answer.content, *(call.arguments for call in answer.tool_calls))
        self._listener.output_bytes = sum(len(text.encode()) for text in said)
        self._listener.usage = answer.usage
        self._listener.reported = True
        self._listener.grown_at = time.monotonic()
        await self.tell([*filter(None, [answer.content]), *answer.tool_calls])
