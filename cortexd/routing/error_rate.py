"""How many of the latest requests failed: an outage that answers now and then, which no run of failures shows."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

_LATEST = 20
_WITHIN_S = 60.0
_LEAST = 10
_PART = 0.5


class _Ended(NamedTuple):
    at: float
    uid: int
    failed: Hashable  # which request; None where it was answered


@dataclass(slots=True)
class ErrorRate:
    """Of the last twenty requests that ended within a minute, from ten on. Times are on the clock of whoever asks.

    A request that is repeated counts twice, and once more for each further user whose requests failed. Where others
    are answered, one user's failures alone show nothing of the provider.
    """

    _latest: deque[_Ended] = field(default_factory=lambda: deque(maxlen=_LATEST))

    def succeeded(self, uid: int, now: float) -> None:
        self._latest.append(_Ended(now, uid, None))

    def failed(self, uid: int, request: Hashable, now: float) -> bool:
        """Whether half of the latest have failed, this one included."""
        self._latest.append(_Ended(now, uid, (uid, request)))
        recent = [item for item in self._latest if now - item.at <= _WITHIN_S]
        failures = Counter(item.failed for item in recent if item.failed is not None)
        failing = {item.uid for item in recent if item.failed is not None}
        answered = [item.uid for item in recent if item.failed is None]
        if len(failing) == 1 and not failing.issuperset(answered):
            return False
        shown = sum(min(count, 1 + len(failing)) for count in failures.values())
        total = shown + len(answered)
        return total >= _LEAST and shown >= total * _PART

    def clear(self) -> None:
        self._latest.clear()
