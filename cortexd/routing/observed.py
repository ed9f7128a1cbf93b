"""What was observed of models that answered: how long each takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

_MOST_MODELS = 256  # who are kept: callers choose their names
_KEPT_PER_ANSWER = 0.5 ** (1 / 20)  # an answer 20 answers ago counts half
_LATENCY_KNOWN_S = 3600.0  # nobody observed for an hour is unknown again
_TELLING_TOKENS = 32  # an answer shorter than this says less of how long answers take
_EXPLORES_EVERY = 20


@dataclass(slots=True)
class _Latency:
    """Weighted sums of milliseconds, newer answers weighing more."""

    weight: float = 0.0
    weighted_ms: float = 0.0
    observed_at: float = 0.0


class Observed:
    """A running mean for each provider and model of how long it takes to answer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._latencies: dict[tuple[str, str], _Latency] = {}
        self._explorations = 0
        self._clock = clock

    def answered(self, provider: str, model: str, latency_ms: float, output_tokens: int) -> None:
        """Note how long one answered attempt took."""
        now = self._clock()
        latency = self._latencies.pop((provider, model), None)
        if latency is None or now - latency.observed_at > _LATENCY_KNOWN_S:
            latency = _Latency()
        self._latencies[provider, model] = latency
        if len(self._latencies) > _MOST_MODELS:
            del self._latencies[next(iter(self._latencies))]
        weight = min(1.0, max(output_tokens, 1) / _TELLING_TOKENS)
        latency.weight = latency.weight * _KEPT_PER_ANSWER + weight
        latency.weighted_ms = latency.weighted_ms * _KEPT_PER_ANSWER + weight * latency_ms
        latency.observed_at = now

    def latency_ms(self, provider: str, model: str) -> float | None:
        """How long that model takes to answer of late; None where it has not answered within the hour."""
        latency = self._latencies.get((provider, model))
        if latency is None or self._clock() - latency.observed_at > _LATENCY_KNOWN_S:
            return None
        return latency.weighted_ms / latency.weight

    def explores(self) -> bool:
        """Whether this request shall try a provider that nobody has observed: every twentieth that asks."""
        self._explorations += 1
        return self._explorations % _EXPLORES_EVERY == 0

    def forget(self) -> None:
        """Start afresh, as after a reload with other keys or endpoints."""
        self._latencies.clear()
