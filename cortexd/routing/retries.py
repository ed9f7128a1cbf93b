"""How often what was never sent may be tried again: so seldom that an outage is not made worse by it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

_PER_REQUEST = 0.1
_PER_S = 3 / 10
_MOST = 10.0
_AT_FIRST = 3.0
_PAUSE_S = (0.1, 0.4)


@dataclass(slots=True)
class _Bucket:
    left: float
    filled_at: float


class Retries:
    """By provider: one for every ten requests, and three in ten seconds. `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def asked(self, provider: str) -> None:
        """A request is sent for the first time."""
        self._fill(provider, _PER_REQUEST)

    def allows(self, provider: str) -> bool:
        """Whether one may be sent again, which it is then."""
        bucket = self._fill(provider, 0.0)
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True

    def _fill(self, provider: str, earned: float) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault(provider, _Bucket(_AT_FIRST, now))
        bucket.left = min(_MOST, bucket.left + earned + (now - bucket.filled_at) * _PER_S)
        bucket.filled_at = now
        return bucket


def pause_s() -> float:
    """Before such a second try: not for all at the same time."""
    return random.uniform(*_PAUSE_S)  # noqa: S311 - no secret
