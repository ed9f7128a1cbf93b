"""Who waits for the writer, and for how long at most."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from cortexd.errors import LedgerUnavailable


class Waiter(asyncio.Future[Any]):
    """Ends with an action's result. `outlasting`: who is cancelled while he waits is so once the action has ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, outlasting: bool) -> None:
        super().__init__(loop=loop)
        self._outlasting = outlasting

    def cancel(self, msg: Any | None = None) -> bool:
        return False if self._outlasting else super().cancel(msg)


class Waiters:
    """Those that wait now, oldest first; one timer for them all, as each may wait equally long. Loop thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, within_s: float) -> None:
        self._loop = loop
        self._within_s = within_s
        self._waiting: deque[tuple[float, Waiter]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def another(self, *, outlasting: bool) -> Waiter:
        """It gets LedgerUnavailable where nobody ends it in time."""
        waiting, until = self._waiting, self._loop.time() + self._within_s
        while waiting and waiting[0][1].done():
            waiting.popleft()
        waiter = Waiter(self._loop, outlasting=outlasting)
        waiting.append((until, waiter))
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._look)
        return waiter

    def give_up(self, why: str) -> None:
        """All that wait now get LedgerUnavailable."""
        for _, waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(LedgerUnavailable(why))
        self._waiting.clear()

    def _look(self) -> None:
        self._timer, now = None, self._loop.time()
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= now):
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                words = f"the ledger's disk has not answered for {self._within_s:g} s"
                waiter.set_exception(LedgerUnavailable(words))
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._look)
