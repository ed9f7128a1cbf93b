"""What requests hold of the memory, in bytes, from their arrival to their end.

A user may have as much as he leaves free, and at most `max_waiting_bytes_per_user`: one user alone gets half of
`max_waiting_bytes`, two get a third each, and however greedy N users are, one part in 2**N stays free for whoever comes
new. Callers whose user the bus has not told yet count as one user, None.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from cortexd.config.settings import LimitSettings
from cortexd.errors import RateLimited

_ALWAYS = 16 * 1024  # a call this small comes in whatever is held; how many there may be is bounded elsewhere
_RETRY_AFTER_MS = 1000

Uid = int | None


class HeldBytes:
    """The sums. Not thread-safe: it lives on the event loop. `limits` may be changed at any time."""

    def __init__(self, limits: LimitSettings) -> None:
        self.limits = limits
        self._of: Counter[Uid] = Counter()

    @property
    def total(self) -> int:
        return self._of.total()

    def check(self, uid: Uid, size: int) -> None:
        """Raise RateLimited where `uid` may not have `size` bytes more. What comes alone always may."""
        own, total, limits = self._of[uid], self.total, self.limits
        if size <= _ALWAYS or not total:
            return
        if own and own + size > limits.max_waiting_bytes_per_user:
            raise RateLimited(
                f"Your requests under way hold {own:,} bytes, and {size:,} more would pass your limit "
                f"(limits.max_waiting_bytes_per_user). Wait until some are answered, then ask again.",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        if own + size > limits.max_waiting_bytes - total - size:
            raise RateLimited(
                f"There is no room for {size:,} bytes beside the requests of all users that are under way "
                f"(limits.max_waiting_bytes). Ask again in a moment.",
                retry_after_ms=_RETRY_AFTER_MS,
            )

    def take(self, uid: Uid, size: int) -> Load:
        """Count one call. Raises as `check`."""
        self.check(uid, size)
        return Load(self, uid, size)

    def add(self, uid: Uid, size: int) -> None:
        self._of[uid] += size
        if not self._of[uid]:
            del self._of[uid]


class Load:
    """The bytes of one call, counted until everything that needs them has ended."""

    __slots__ = ("_held", "_needed_by", "_size", "_uid")

    def __init__(self, held: HeldBytes, uid: Uid, size: int) -> None:
        self._held = held
        self._uid = uid
        self._size = size
        self._needed_by = 1
        held.add(uid, size)

    def belongs_to(self, uid: int) -> None:
        """Whose it is, now that the bus has told. Raises RateLimited where that user has too much; it counts on."""
        if uid == self._uid:
            return
        self._held.add(self._uid, -self._size)
        self._uid = uid
        try:
            self._held.check(uid, self._size)
        finally:
            self._held.add(uid, self._size)

    def needed_by(self, task: asyncio.Task[Any]) -> None:
        """Count on until `task` has ended."""
        self._needed_by += 1
        task.add_done_callback(lambda _task: self.free())

    def free(self) -> None:
        """One of those that need it has ended."""
        self._needed_by -= 1
        if not self._needed_by:
            self._held.add(self._uid, -self._size)
