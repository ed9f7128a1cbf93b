"""Answers held for a while: bounded in bytes and in time, each user within a share of the whole."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=tuple[int, Hashable])  # uid first
V = TypeVar("V")


@dataclass(slots=True)
class _Held(Generic[V]):
    value: V
    size: int
    since: float


@dataclass(slots=True)
class _Share(Generic[K]):
    """What one user holds; `keys` from the least lately used on."""

    keys: OrderedDict[K, None] = field(default_factory=OrderedDict)
    size: int = 0


class BoundedStore(Generic[K, V]):
    """At most `max_bytes` as `size_of` counts them, each value for `ttl_s`; one user holds at most half of it, and what
    was not used for longest goes first."""

    def __init__(
        self,
        size_of: Callable[[V], int],
        max_bytes: int,
        ttl_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size_of = size_of
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._held: OrderedDict[K, _Held[V]] = OrderedDict()
        self._shares: dict[int, _Share[K]] = {}
        self._swept_at = clock()
        self.size = 0
        """Bytes held."""

    def __len__(self) -> int:
        return len(self._held)

    def resize(self, max_bytes: int, ttl_s: float) -> None:
        """Go on with other bounds; what they have no room for is dropped at once."""
        self._max_bytes, self._ttl_s = max_bytes, ttl_s
        self._sweep(self._clock())
        for uid in list(self._shares):
            self._fit_share(uid)
        self._fit_whole()

    def get(self, key: K) -> V | None:
        """The value held for `key`, while it is fresh."""
        now = self._clock()
        if now - self._swept_at >= self._ttl_s:
            self._sweep(now)
        held = self._held.get(key)
        if held is None:
            return None
        if not self._fresh(held, now):
            self._drop(key)
            return None
        self._held.move_to_end(key)
        self._shares[key[0]].keys.move_to_end(key)
        return held.value

    def put(self, key: K, value: V) -> None:
        """Hold a value, unless it is larger than one user's share."""
        size, now = self._size_of(value), self._clock()
        if size > self._max_bytes // 2:
            return
        if now - self._swept_at >= self._ttl_s:
            self._sweep(now)
        self._drop(key)
        self._held[key] = _Held(value, size, now)
        share = self._shares.setdefault(key[0], _Share())
        share.keys[key] = None
        share.size += size
        self.size += size
        self._fit_share(key[0])
        self._fit_whole()

    def forget(self, uid: int) -> None:
        """Drop all that one user holds."""
        share = self._shares.get(uid)
        for key in list(share.keys) if share is not None else ():
            self._drop(key)

    def clear(self) -> None:
        for key in list(self._held):
            self._drop(key)

    def _fit_share(self, uid: int) -> None:
        share = self._shares[uid]
        while share.size > self._max_bytes // 2:
            self._drop(next(iter(share.keys)))

    def _fit_whole(self) -> None:
        while self.size > self._max_bytes:
            self._drop(next(iter(self._held)))

    def _fresh(self, held: _Held[V], now: float) -> bool:
        return now - held.since < self._ttl_s

    def _sweep(self, now: float) -> None:
        """Drop what has aged. Seldom enough to cost little; nothing is held longer than twice `ttl_s`."""
        self._swept_at = now
        for key in [key for key, held in self._held.items() if not self._fresh(held, now)]:
            self._drop(key)

    def _drop(self, key: K) -> None:
        held = self._held.pop(key, None)
        if held is None:
            return
        share = self._shares[key[0]]
        del share.keys[key]
        share.size -= held.size
        self.size -= held.size
        if not share.keys:
            del self._shares[key[0]]
