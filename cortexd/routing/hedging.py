"""When a second model is asked beside one that is slow, and how seldom: the slowest of twenty answers, and no more."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from cortexd.domain.newest import Newest

_LATEST = 100
_LEAST = 20
_ONE_IN = 20
_MOST_SAVED = 5 * _ONE_IN
_KNOWN_S = 3600.0
_MOST_MODELS = 256  # who are kept: callers choose their names


def _no_times() -> deque[tuple[float, float]]:
    return deque(maxlen=_LATEST)


class Hedging:
    """Of all models, how long their latest answers took; and of all calls that may be hedged one in twenty that is.

    `clock` in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._took: Newest[tuple[str, str], deque[tuple[float, float]]] = Newest(_MOST_MODELS, _no_times)
        self._saved = 0

    def answered(self, provider: str, model: str, took_s: float) -> None:
        self._took.touch((provider, model)).append((self._clock(), took_s))

    def after_s(self, provider: str, model: str) -> float | None:
        """The time in which 95 of 100 answers of the last hour came; None where they are fewer than twenty."""
        since = self._clock() - _KNOWN_S
        took = sorted(took_s for at, took_s in self._took.get((provider, model), ()) if at >= since)
        return took[-(-len(took) * 95 // 100) - 1] if len(took) >= _LEAST else None

    def forget(self) -> None:
        """How quick models were: other endpoints may be slower."""
        self._took.clear()

    def called(self) -> None:
        """One more call that may be hedged."""
        self._saved = min(_MOST_SAVED, self._saved + 1)

    def allows(self) -> bool:
        """Whether there is one left, which is used then."""
        if self._saved < _ONE_IN:
            return False
        self._saved -= _ONE_IN
        return True
