"""Answers given lately, for callers that come again with the same request id: not for long, each user his share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from cortexd.requests.answers.bounded_store import BoundedStore

T = TypeVar("T")
Key = tuple[int, str]  # uid, request id

_KEPT_S = 600.0
_BYTES = 32 * 1024 * 1024


class Given(NamedTuple, Generic[T]):
    """An answer and the hash of the request that it was given to."""

    content_hash: bytes
    answer: T


class Repeats(Generic[T]):
    """10 minutes, 32 MiB in all and half of it of one user at most, who cannot push out what others may come for."""

    def __init__(self, size_of: Callable[[T], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._given: BoundedStore[Key, Given[T]] = BoundedStore(
            lambda given: size_of(given.answer), _BYTES, _KEPT_S, clock
        )

    def keep(self, key: Key, content_hash: bytes, answer: T) -> None:
        """Keep an answer, unless it is larger than one user's share."""
        self._given.put(key, Given(content_hash, answer))

    def forget(self, uid: int) -> None:
        """Drop what that user was given."""
        self._given.forget(uid)

    def find(self, key: Key) -> Given[T] | None:
        """The answer with its content hash, where it is still kept."""
        return self._given.get(key)
