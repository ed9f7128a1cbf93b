"""A time limit for many short waits: a timer looks now and then, one for all that wait on a loop, instead of one being
set for each wait."""

from __future__ import annotations

import asyncio
import math
from types import TracebackType
from typing import Self


class Patience:
    """`async with` it in one task: TimeoutError where a wait lasts longer than `limit_s`.

    A wait begins on entering and with each `begin`, until `rest`: what is awaited then may take as long as it likes.
    `first_word_within` bounds the time to a first word beside that, whatever comes before one; `speechless`: that was
    too long.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._expired = False
        self._given_up = False
        self._first_word: asyncio.TimerHandle | None = None
        self.speechless = False

    def begin(self) -> None:
        self._since = self._loop.time()
        if self._given_up:
            self._look_after(0)

    def rest(self) -> None:
        self._since = None
        self.first_word_within(None)

    def first_word_within(self, limit_s: float | None) -> None:
        """From now on; None where it has come, or is not waited for."""
        if self._first_word is not None:
            self._first_word.cancel()
        self._first_word = None if limit_s is None else self._loop.call_later(limit_s, self._give_up_on_words)

    def give_up(self) -> None:
        """Let the wait that lasts, or else the next one, end now."""
        self._given_up, self._limit_s = True, 0.0
        self._look_after(0)

    async def __aenter__(self) -> Self:
        task = asyncio.current_task(self._loop)
        assert task is not None, "patience needs a task"
        self._task = task
        self._cancelling = task.cancelling()
        self._watch = _Watch.of(self._loop)
        self._since = since = self._loop.time()
        self._watch.add(self, since + self._limit_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._watch.drop(self)
        if self._first_word is not None:
            self.first_word_within(None)
        # As asyncio.timeout does: a cancellation from elsewhere, at the same moment, goes first.
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _look_after(self, seconds: float) -> None:
        self._watch.add(self, self._loop.time() + seconds)

    def look(self) -> None:
        """Called while the task is suspended, so that its cancellation is delivered in the wait that was too long."""
        if self._since is None:
            if not self._given_up:
                self._look_after(self._limit_s)
            return
        left = self._since + self._limit_s - self._loop.time()
        if left > 0:
            self._look_after(left)
        else:
            self._expire()

    def _give_up_on_words(self) -> None:
        self.speechless = not self._expired
        self._expire()

    def _expire(self) -> None:
        if not self._expired:
            self._expired = True
            self._task.cancel()


class _Watch:
    """Of one loop: who wants to be looked at when. Nearly all have ended by then, so its timer is set for the first of
    them, and not again before it has rung."""

    _newest: _Watch | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[Patience, float] = {}
        self._rings_at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Watch:
        """Where loops take turns, each gets one more: those before serve who waits there to the end."""
        found = cls._newest
        if found is None or found._loop is not loop:
            cls._newest = found = cls(loop)
        return found

    def add(self, who: Patience, due: float) -> None:
        self._due[who] = due
        if due < self._rings_at:
            self._set(due)

    def drop(self, who: Patience) -> None:
        self._due.pop(who, None)

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at, self._timer = at, self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._rings_at, self._timer, now = math.inf, None, self._loop.time()
        for who in [who for who, due in self._due.items() if due <= now]:
            del self._due[who]
            who.look()
        if (first := min(self._due.values(), default=math.inf)) < self._rings_at:
            self._set(first)
