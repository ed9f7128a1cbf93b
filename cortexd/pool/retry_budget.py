"""How many tries may be made beyond the first: few beside the calls themselves, so that an outage is not amplified."""

from __future__ import annotations

import time
from collections.abc import Callable

_PER_CALL = 0.2
_PER_S = 1.0  # where there are few calls
_MOST = 20.0


class RetryBudget:
    """A bucket of tokens, full at first: each call adds a fifth of one and each second one; a further try takes one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens, self._at = _MOST, clock()

    def called(self) -> None:
        self._tokens = min(_MOST, self._tokens + _PER_CALL)

    def take(self) -> bool:
        """Whether there was a token, which is gone now."""
        now = self._clock()
        self._tokens, self._at = min(_MOST, self._tokens + (now - self._at) * _PER_S), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
