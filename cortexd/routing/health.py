"""How each provider is doing: a breaker that opens after failures, so that requests try a healthy one first.

An open breaker demotes a provider, it never forbids it: with nobody else left it is still tried. Beside it a
running mean of how long each provider takes to answer.
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
_KEPT_PER_ANSWER = 0.5 ** (1 / 20)  # an answer 20 answers ago counts half
_LATENCY_KNOWN_S = 3600.0  # nobody observed for an hour is unknown again
_TELLING_TOKENS = 32  # an answer shorter than this says less of how long answers take
_EXPLORES_EVERY = 20


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


@dataclass(slots=True)
class _Latency:
    """Weighted sums of milliseconds, newer answers weighing more."""

    weight: float = 0.0
    weighted_ms: float = 0.0
    observed_at: float = 0.0


class Health:
    """Counts outcomes per provider; `on_change(provider, state, last_failure)` hears of each change once."""

    def __init__(
        self,
        on_change: Callable[[str, State, str], None] = lambda _provider, _state, _failure: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records: dict[str, _Record] = {}
        self._latencies: dict[str, _Latency] = {}
        self._explorations = 0
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

    def observed(self, provider: str, latency_ms: float, output_tokens: int) -> None:
        """Note how long one answered attempt took."""
        now = self._clock()
        latency = self._latencies.get(provider)
        if latency is None or now - latency.observed_at > _LATENCY_KNOWN_S:
            latency = self._latencies[provider] = _Latency()
        weight = min(1.0, max(output_tokens, 1) / _TELLING_TOKENS)
        latency.weight = latency.weight * _KEPT_PER_ANSWER + weight
        latency.weighted_ms = latency.weighted_ms * _KEPT_PER_ANSWER + weight * latency_ms
        latency.observed_at = now

    def latency_ms(self, provider: str) -> float | None:
        """How long the provider takes to answer of late; None where it has not answered within the hour."""
        latency = self._latencies.get(provider)
        if latency is None or self._clock() - latency.observed_at > _LATENCY_KNOWN_S:
            return None
        return latency.weighted_ms / latency.weight

    def explores(self) -> bool:
        """Whether this request shall try a provider that nobody has observed: every twentieth that asks."""
        self._explorations += 1
        return self._explorations % _EXPLORES_EVERY == 0

    def next_change(self) -> float | None:
        """Seconds until the next breaker ends by time; 0 where one has ended untold, None where none is open."""
        open_until = [record.open_until for record in self._records.values() if record.published is State.OPEN]
        return max(0.0, min(open_until) - self._clock()) if open_until else None

    def refresh(self) -> None:
        """Tell of the breakers that time has ended."""
        for provider, record in self._records.items():
            self._publish(provider, record)

    def forget(self) -> None:
        """Start afresh, as after a reload with other keys or endpoints."""
        self._latencies.clear()
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
