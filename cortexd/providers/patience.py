"""A time limit for many short waits: one timer looks now and then, instead of one being set for each wait."""

from __future__ import annotations

import asyncio
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
        task = asyncio.current_task()
        assert task is not None, "patience needs a task"
        self._task = task
        self._cancelling = task.cancelling()
        self.begin()
        self._timer = self._loop.call_later(self._limit_s, self._look)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self.first_word_within(None)
        # As asyncio.timeout does: a cancellation from elsewhere, at the same moment, goes first.
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _look_after(self, seconds: float) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Runs while the task is suspended, so that its cancellation is delivered in the wait that was too long."""
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
