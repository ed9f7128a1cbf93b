"""Turns at what needs no authorization but is not free, such as reading the ledger: each user has few at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cortexd.errors import RateLimited

_RETRY_AFTER_MS = 1000


class Turns:
    """One user's flood waits behind itself; another user's turn comes at once. Lives on the event loop.

    `waiting`: how many of one user may wait; it may be changed at any time.
    """

    def __init__(self, at_once: int, waiting: int = 256) -> None:
        self._at_once = at_once
        self.waiting = waiting
        self._gates: dict[int, asyncio.Semaphore] = {}
        self._present: Counter[int] = Counter()

    @asynccontextmanager
    async def turn(self, uid: int) -> AsyncIterator[None]:
        """Wait until fewer than `at_once` of `uid`'s turns are being taken.

        Raises RateLimited where `waiting` of that user wait already.
        """
        if self._present[uid] >= self._at_once + self.waiting:
            raise RateLimited(
                f"You have {self.waiting} such calls waiting, your limit. Wait until some have ended.",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        gate = self._gates.setdefault(uid, asyncio.Semaphore(self._at_once))
        self._present[uid] += 1
        try:
            async with gate:
                yield
        finally:
            self._present[uid] -= 1
            if not self._present[uid]:
                del self._present[uid], self._gates[uid]
