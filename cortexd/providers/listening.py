"""Hearing an answer while it arrives, or only counting it: what was said so far, also after a failure or a
cancellation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cortexd.domain.messages import ToolCall, Usage

Delta = str | ToolCall | bytes
"""A piece of text, or a tool call once it is whole; of a raw call whole events of the vendor's stream."""


@dataclass(slots=True)
class Listener:
    """Takes the deltas of one attempt, in order and never empty; the upstream is read no further before it returns.
    Without a `hear` nothing is told, and the figures below are kept all the same.

    `usage`: what the provider has counted so far, None where it has said nothing. `output_bytes`: UTF-8 bytes of
    text, reasoning and tool arguments received so far. `reported`: it has said something of usage, also what cannot be
    counted. `first_at`: time.monotonic() of the first delta; `grown_at`: of the last growth of `output_bytes`.
    `heard_s`: the seconds that `hear` has taken altogether. `streamed`: as far as is known the answer comes as a
    stream, which its provider ends when nobody reads on; a whole one is made to its end. `unsent`: the attempt waits
    for a place, and nothing of it has been sent. `waits` is called when a local endpoint that starts is waited for.
    """

    hear: Callable[[Sequence[Delta]], Awaitable[None]] | None = None
    usage: Usage | None = None
    output_bytes: int = 0
    reported: bool = False
    first_at: float | None = None
    grown_at: float | None = None
    heard_s: float = 0.0
    streamed: bool = True
    unsent: bool = False
    waits: Callable[[], None] = lambda: None
