"""How many tries may be made beyond the first: few beside the calls themselves, so that an outage is not amplified."""

from __future__ import annotations

import time
from collections.abc import Callable


class RetryBudget:
    """A bucket of at most `most` tokens, `at_first` to begin with: each call adds `per_call` and each second `per_s`,
    where there are few calls; a further try takes one. `clock` in seconds."""

    def __init__(
        self,
        per_call: float,
        per_s: float,
        most: float,
        at_first: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_call, self._per_s, self._most, self._clock = per_call, per_s, most, clock
        self._tokens, self._at = at_first, clock()

    def called(self) -> None:
        """A call is made for the first time."""
        self._fill(self._per_call)

    def take(self) -> bool:
        """Whether there was a token, which is gone now."""
        self._fill(0.0)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _fill(self, earned: float) -> None:
        now = self._clock()
        self._tokens = min(self._most, self._tokens + earned + (now - self._at) * self._per_s)
        self._at = now
