"""At most so many calls upstream at once, counted over all threads and event loops, first come first served."""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from cortexd.library.errors import InvalidRequestError, LLMRouterError

LONGEST_WAIT_S = 600.0


class Limiter:
    """Slots for calls; no limit until one is set."""

    def __init__(self, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        self._lock = threading.Lock()
        self._longest_wait_s = longest_wait_s
        self._limit: int | None = None
        self._taken = 0
        self._waiting: deque[Future[None]] = deque()
        self._of_loop: Counter[AbstractEventLoop] = Counter()  # slots held or awaited by each loop's tasks

    def set(self, limit: int | None) -> None:
        """Calls under way go on; None lifts the limit. Raises InvalidRequestError for what is no positive number."""
        if limit is not None:
            positive(limit)
        with self._lock:
            self._limit = limit
            self._let_in()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot. Raises LLMRouterError after ten minutes, or at once where waiting could not end."""
        turn = self._enter(_running_loop())
        if turn is not None:
            try:
                turn.result(self._longest_wait_s)
            except TimeoutError:
                self._give_up(turn)
                raise LLMRouterError(_too_long(self._longest_wait_s)) from None
            except BaseException:
                self._give_up(turn)
                raise
        try:
            yield
        finally:
            self._leave()

    @asynccontextmanager
    async def async_slot(self) -> AsyncIterator[None]:
        """Hold a slot. Raises LLMRouterError after ten minutes."""
        loop = asyncio.get_running_loop()
        with self._counted(loop):
            turn = self._enter(None)
            if turn is not None:
                try:
                    async with asyncio.timeout(self._longest_wait_s):
                        await asyncio.wrap_future(turn)
                except TimeoutError:
                    self._give_up(turn)
                    raise LLMRouterError(_too_long(self._longest_wait_s)) from None
                except BaseException:
                    self._give_up(turn)
                    raise
            try:
                yield
            finally:
                self._leave()

    def _enter(self, blocked: AbstractEventLoop | None) -> Future[None] | None:
        """A turn to wait for, or None with the slot taken. `blocked` is the loop that would stand still meanwhile."""
        with self._lock:
            if self._limit is None or (self._taken < self._limit and not self._waiting):
                self._taken += 1
                return None
            if blocked is not None and self._of_loop[blocked]:
                raise LLMRouterError(
                    "the rate limit is reached by calls of this event loop, which cannot end while it waits here; "
                    "await acomplete instead of calling complete"
                )
            turn: Future[None] = Future()
            self._waiting.append(turn)
            return turn

    def _leave(self) -> None:
        with self._lock:
            self._taken -= 1
            self._let_in()

    def _give_up(self, turn: Future[None]) -> None:
        if not turn.cancel():  # it was our turn already
            self._leave()

    def _let_in(self) -> None:
        while self._waiting and (self._limit is None or self._taken < self._limit):
            turn = self._waiting.popleft()
            if turn.set_running_or_notify_cancel():
                self._taken += 1
                turn.set_result(None)

    @contextmanager
    def _counted(self, loop: AbstractEventLoop) -> Iterator[None]:
        with self._lock:
            self._of_loop[loop] += 1
        try:
            yield
        finally:
            with self._lock:
                self._of_loop[loop] -= 1
                if not self._of_loop[loop]:
                    del self._of_loop[loop]


def positive(number: Any) -> int:
    """`number`, a whole one from 1 on. Raises InvalidRequestError."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise InvalidRequestError(f"max_concurrent: expected a whole number from 1 on, got {number!r:.80}")
    return number


def _running_loop() -> AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _too_long(seconds: float) -> str:
    return f"no slot came free within {seconds:g} s; set_rate_limit() with a higher limit lets more calls run at once"
