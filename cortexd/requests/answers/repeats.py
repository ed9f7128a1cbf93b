"""Answers given lately, for callers that come again with the same request id: not for long, each user his share."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Key = tuple[int, str]  # uid, request id

_KEPT_S = 600.0
_BYTES = 32 * 1024 * 1024
_BYTES_OF_ONE = _BYTES // 2  # of one user, who cannot push out what others may still come for


@dataclass(slots=True)
class _Kept(Generic[T]):
    content_hash: bytes
    result: T
    size: int
    until: float


class KeptAnswers(Generic[T]):
    """10 minutes, 32 MiB in all and 16 MiB of one user at most; the oldest go first."""

    def __init__(self, size_of: Callable[[T], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._size_of = size_of
        self._clock = clock
        self._kept: OrderedDict[Key, _Kept[T]] = OrderedDict()
        self._bytes: Counter[int] = Counter()

    def keep(self, key: Key, content_hash: bytes, result: T) -> None:
        """Keep an answer, unless it is larger than one user's share."""
        uid, size = key[0], self._size_of(result)
        if size > _BYTES_OF_ONE:
            return
        self._drop(key)
        self._drop_aged()
        while self._bytes[uid] + size > _BYTES_OF_ONE:
            self._drop(next(other for other in self._kept if other[0] == uid))
        while self._bytes.total() + size > _BYTES:
            self._drop(next(iter(self._kept)))
        self._kept[key] = _Kept(content_hash, result, size, self._clock() + _KEPT_S)
        self._bytes[uid] += size

    def find(self, key: Key) -> tuple[bytes, T] | None:
        """The content hash and answer, where they are still kept."""
        self._drop_aged()
        kept = self._kept.get(key)
        return (kept.content_hash, kept.result) if kept else None

    def _drop_aged(self) -> None:
        now = self._clock()
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes[key[0]] -= kept.size
            if not self._bytes[key[0]]:
                del self._bytes[key[0]]
