"""How each provider is doing: a breaker that opens after failures, so that requests try a healthy one first.

An open breaker demotes a provider, it never forbids it: with nobody else left it is still tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cortexd.errors import Failure

_OPENS_AFTER = 5  # failures in a row
_COOL_DOWN_S = 30.0
_KEY_COOL_DOWN_S = 60.0  # a refused key is seldom mended sooner
_MAX_RETRY_AFTER_S = 300.0


class State(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"  # failed lately, or probing after an open breaker
    OPEN = "open"
    UNCONFIGURED = "unconfigured"


@dataclass(slots=True)
class _Record:
    failures: int = 0
    open_until: float = 0.0
    last_failure: str = ""
    published: State = State.OK


class Health:
    """Counts outcomes per provider; `on_change(provider, state, last_failure)` hears of each change once."""

    def __init__(
        self,
        on_change: Callable[[str, State, str], None] = lambda _provider, _state, _failure: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records: dict[str, _Record] = {}
        self._on_change = on_change
        self._clock = clock

    def state(self, provider: str) -> State:
        record = self._records.get(provider)
        if record is None or not record.failures:
            return State.OK
        return State.OPEN if self._clock() < record.open_until else State.DEGRADED

    def last_failure(self, provider: str) -> str:
        record = self._records.get(provider)
        return record.last_failure if record and record.failures else ""

    def succeeded(self, provider: str) -> None:
        record = self._records.get(provider)
        if record is not None and record.failures:
            record.failures = 0
            record.open_until = 0.0
            self._publish(provider, record)

    def failed(self, provider: str, failure: Failure, retry_after_ms: int | None = None) -> None:
        """Count one failed attempt. A refused request says nothing about the provider and is not counted."""
        if failure is Failure.REFUSED:
            return
        record = self._records.setdefault(provider, _Record())
        record.failures += 1
        record.last_failure = failure.value
        pause = self._pause_s(record.failures, failure, retry_after_ms)
        if pause:
            record.open_until = max(record.open_until, self._clock() + pause)
        self._publish(provider, record)

    def forget(self) -> None:
        """Start afresh, as after a reload with other keys or endpoints."""
        for provider, record in self._records.items():
            record.failures = 0
            record.open_until = 0.0
            self._publish(provider, record)

    @staticmethod
    def _pause_s(failures: int, failure: Failure, retry_after_ms: int | None) -> float:
        if failure is Failure.AUTHENTICATION:
            return _KEY_COOL_DOWN_S
        if failure is Failure.RATE_LIMITED and retry_after_ms is not None:
            return min(retry_after_ms / 1000, _MAX_RETRY_AFTER_S)
        return _COOL_DOWN_S if failures >= _OPENS_AFTER else 0.0

    def _publish(self, provider: str, record: _Record) -> None:
        state = self.state(provider)
        if state is not record.published:
            record.published = state
            self._on_change(provider, state, record.last_failure if record.failures else "")
