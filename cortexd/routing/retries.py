"""How often what was never sent may be tried again: so seldom that an outage is not made worse by it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from cortexd.domain.retry_budget import RetryBudget

_PER_REQUEST = 0.1
_PER_S = 3 / 10
_MOST = 10.0
_AT_FIRST = 3.0
_PAUSE_S = (0.1, 0.4)


class Retries:
    """By provider: one for every ten requests, and three in ten seconds. `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._budgets: dict[str, RetryBudget] = {}

    def asked(self, provider: str) -> None:
        """A request is sent for the first time."""
        self._budget(provider).called()

    def allows(self, provider: str) -> bool:
        """Whether one may be sent again, which it is then."""
        return self._budget(provider).take()

    def _budget(self, provider: str) -> RetryBudget:
        if provider not in self._budgets:
            self._budgets[provider] = RetryBudget(_PER_REQUEST, _PER_S, _MOST, _AT_FIRST, self._clock)
        return self._budgets[provider]


def pause_s() -> float:
    """Before such a second try: not for all at the same time."""
    return random.uniform(*_PAUSE_S)  # noqa: S311 - no secret
