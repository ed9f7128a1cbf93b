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

    `limit_s` bounds each wait for the provider and no wait for the listener; `first_word_s`, where there is one, the
    time from a request to the first word of its stream, reasoning included; what is waited for in all is bounded by
    whoever asked. `begun`: the provider has begun to answer. `interrupted`: an exception in flight is the listener's
    own. `own_call`: a tool call of the answer as the caller knows it.
    """

    def __init__(self, listener: Listener | None, limit_s: float, first_word_s: float | None = None) -> None:
        self._listener = listener or Listener()
        self._began = time.monotonic()
        self._first_at: float | None = None
        self._first_word_s = first_word_s
        self.patience = Patience(limit_s)
        self.begun = False
        self.interrupted = False
        self.own_call: Callable[[ToolCall], ToolCall] = lambda call: call

    @property
    def heard(self) -> bool:
        """Whether somebody hears the answer grow."""
        return self._listener.hear is not None

    def asks(self, *, streamed: bool) -> None:
        """A request is about to be sent, or its answer turned out to be whole."""
        self._listener.streamed = streamed
        self.patience.first_word_within(self._first_word_s if streamed else None)

    def waits(self) -> None:
        """For an endpoint that starts."""
        self._listener.waits()
        self.patience.rest()

    @property
    def counted(self) -> bool:
        """Whether the provider has said anything of the usage."""
        return self._listener.reported

    @property
    def time_to_first_token_ms(self) -> int | None:
        return None if self._first_at is None else round((self._first_at - self._began) * 1000)

    def arrived(self) -> None:
        """Something came: the next wait begins."""
        self.begun = True
        self.patience.begin()

    def note(self, collector: Collector) -> None:
        """Bring the listener's figures up to date."""
        listener = self._listener
        if collector.output_bytes != listener.output_bytes:
            listener.grown_at = time.monotonic()
            self.patience.first_word_within(None)
        listener.output_bytes = collector.output_bytes
        listener.usage = collector.usage
        listener.reported = collector.reported

    async def tell(self, deltas: Sequence[Delta]) -> None:
        """Let it be heard, where somebody hears and there is something to tell."""
        if not deltas:
            return
        self._has_come()
        await self._hear([self.own_call(delta) if isinstance(delta, ToolCall) else delta for delta in deltas])

    async def tell_raw(self, deltas: Sequence[Delta], events: bytes) -> None:
        """The same of a raw call: its `events` are heard; what they say, `deltas`, is only noted."""
        if deltas:
            self._has_come()
        if events:
            if self._listener.grown_at is None:  # what was told cannot be asked for again elsewhere
                self._listener.grown_at = time.monotonic()
            await self._hear([events])

    def _has_come(self) -> None:
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
        if self._listener.first_at is None:
            self._listener.first_at = now

    async def _hear(self, deltas: Sequence[Delta]) -> None:
        listener = self._listener
        if listener.hear is None:
            return
        began = time.monotonic()
        self.patience.rest()
        self.interrupted = True
        await listener.hear(deltas)
        listener.heard_s += time.monotonic() - began
        self.interrupted = False
        self.patience.begin()

    async def tell_whole(self, answer: Answer) -> None:
        """The same for an answer that came in one piece."""
        said = (answer.content, *(call.arguments for call in answer.tool_calls))
        self._listener.output_bytes = sum(len(text.encode()) for text in said)
        self._listener.usage = answer.usage
        self._listener.reported = True
        self._listener.grown_at = time.monotonic()
        await self.tell([*filter(None, [answer.content]), *answer.tool_calls])
