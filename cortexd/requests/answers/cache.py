"""Answers kept for equal questions of the same user, and equal questions under way that share one answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from cortexd.config.settings import CacheSettings
from cortexd.requests.answers.bounded_store import BoundedStore

T = TypeVar("T")
Key = tuple[int, bytes]  # uid, content hash


class AnswerCache(Generic[T]):
    """Off until `adopt` switches it on. The key holds the uid: users never share."""

    def __init__(self, size_of: Callable[[T], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = CacheSettings(enabled=False)
        self._kept: BoundedStore[Key, T] = BoundedStore(size_of, self._settings.max_bytes, self._settings.ttl_s, clock)
        # one per question under way: its answer as soon as it has come, None where it failed
        self._making: dict[Key, asyncio.Future[tuple[T] | None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._kept.size

    def adopt(self, settings: CacheSettings) -> None:
        """Go on under other settings; what they have no room for is dropped at once."""
        self._settings = settings
        if settings.enabled:
            self._kept.resize(settings.max_bytes, settings.ttl_s)
        else:
            self._kept.clear()

    def forget(self, uid: int) -> None:
        """Drop that user's answers."""
        self._kept.forget(uid)

    def lookup(self, key: Key) -> T | None:
        """The answer kept for `key`, while it is fresh."""
        return self._kept.get(key)

    async def answer(self, key: Key, make: Callable[[], Awaitable[T]], until: float | None = None) -> tuple[T, bool]:
        """The answer for `key`, and whether it cost nothing: it was kept, or an equal call under way gave it.

        `make` runs in the caller's own task. Its error is the caller's alone: who waited for it makes its own,
        one at a time. Raises TimeoutError where the wait for another's is not over at `until`, on the loop's clock.
        """
        while self._settings.enabled:
            kept = self.lookup(key)
            if kept is not None:
                return kept, True
            making = self._making.get(key)
            if making is None:
                return await self._make(key, make), False
            async with asyncio.timeout_at(until):
                shared = await asyncio.shield(making)
            if shared is not None:
                return shared[0], True
        return await make(), False

    async def _make(self, key: Key, make: Callable[[], Awaitable[T]]) -> T:
        told = self._making[key] = asyncio.get_running_loop().create_future()
        made: tuple[T] | None = None
        try:
            made = (await make(),)
        finally:
            del self._making[key]
            told.set_result(made)
        if self._settings.enabled:
            self._kept.put(key, made[0])
        return made[0]
