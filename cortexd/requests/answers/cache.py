"""Answers kept for equal questions of the same user, and equal questions under way that share one answer."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cortexd.config.settings import CacheSettings

T = TypeVar("T")
Key = tuple[int, bytes]  # uid, content hash


@dataclass(slots=True)
class _Kept(Generic[T]):
    answer: T
    size: int
    made_at: float


@dataclass(slots=True)
class _Share:
    """What one user holds; `keys` from the least lately used on."""

    keys: OrderedDict[Key, None] = field(default_factory=OrderedDict)
    size: int = 0


class AnswerCache(Generic[T]):
    """At most `max_bytes` of answers, each for `ttl_s`; one user holds at most half of it, the least lately used
    go first. Off until `adopt` switches it on. The key holds the uid: users never share."""

    def __init__(self, size_of: Callable[[T], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._size_of = size_of
        self._clock = clock
        self._settings = CacheSettings(enabled=False)
        self._kept: OrderedDict[Key, _Kept[T]] = OrderedDict()
        self._shares: dict[int, _Share] = {}
        self._size = 0
        self._swept_at = clock()
        # one per question under way: its answer as soon as it has come, None where it failed
        self._making: dict[Key, asyncio.Future[tuple[T] | None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size

    def adopt(self, settings: CacheSettings) -> None:
        """Go on under other settings; what they have no room for is dropped at once."""
        self._settings = settings
        if not settings.enabled:
            for key in list(self._kept):
                self._drop(key)
            return
        self._sweep(self._clock())
        for uid in list(self._shares):
            self._fit_share(uid)
        self._fit_whole()

    def lookup(self, key: Key) -> T | None:
        """The answer kept for `key`, while it is fresh."""
        now = self._clock()
        if now - self._swept_at >= self._settings.ttl_s:
            self._sweep(now)
        kept = self._kept.get(key)
        if kept is None:
            return None
        if not self._fresh(kept, now):
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        self._shares[key[0]].keys.move_to_end(key)
        return kept.answer

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
        self._keep(key, made[0])
        return made[0]

    def _keep(self, key: Key, answer: T) -> None:
        size = self._size_of(answer)
        if not self._settings.enabled or size > self._settings.max_bytes // 2:
            return
        self._drop(key)
        self._kept[key] = _Kept(answer, size, self._clock())
        share = self._shares.setdefault(key[0], _Share())
        share.keys[key] = None
        share.size += size
        self._size += size
        self._fit_share(key[0])
        self._fit_whole()

    def _fit_share(self, uid: int) -> None:
        share = self._shares[uid]
        while share.size > self._settings.max_bytes // 2:
            self._drop(next(iter(share.keys)))

    def _fit_whole(self) -> None:
        while self._size > self._settings.max_bytes:
            self._drop(next(iter(self._kept)))

    def _fresh(self, kept: _Kept[T], now: float) -> bool:
        return now - kept.made_at < self._settings.ttl_s

    def _sweep(self, now: float) -> None:
        """Drop what has aged. Seldom enough to cost little; nothing is kept longer than twice `ttl_s`."""
        self._swept_at = now
        for key in [key for key, kept in self._kept.items() if not self._fresh(kept, now)]:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is None:
            return
        share = self._shares[key[0]]
        del share.keys[key]
        share.size -= kept.size
        self._size -= kept.size
        if not share.keys:
            del self._shares[key[0]]
