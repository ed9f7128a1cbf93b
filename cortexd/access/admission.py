"""How many requests one user and the whole machine may have under way. Past that a request is refused at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from cortexd.config.settings import LimitSettings
from cortexd.errors import RateLimited

_RETRY_AFTER_MS = 1000


class Admission:
    """Counts requests under way. Not thread-safe: it lives on the event loop."""

    def __init__(self, limits: LimitSettings) -> None:
        self.limits = limits
        self._by_user: Counter[int] = Counter()
        self._total = 0

    @contextmanager
    def slot(self, uid: int) -> Iterator[None]:
        """Hold one place for `uid`. Raises RateLimited where the user's or the machine's places are taken."""
        if self._by_user[uid] >= self.limits.max_active_requests_per_user:
            raise RateLimited(
                f"you already have {self._by_user[uid]} requests under way, the most one user may have "
                f"(limits.max_active_requests_per_user); wait for one to finish",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        if self._total >= self.limits.max_active_requests:
            raise RateLimited(
                f"the service already has {self._total} requests under way (limits.max_active_requests); try again",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        self._by_user[uid] += 1
        self._total += 1
        try:
            yield
        finally:
            self._total -= 1
            self._by_user[uid] -= 1
            if not self._by_user[uid]:
                del self._by_user[uid]
