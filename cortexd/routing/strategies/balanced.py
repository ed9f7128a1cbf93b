"""The best compromise first: whoever loses the fewest points to the best in quality, in cost and in time.

A tenth of quality weighs as much as twice the cost or twice the time, each times its weight of [routing.weights].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cortexd.domain.money import format_usd
from cortexd.routing.candidates import Candidate, Field
from cortexd.routing.exploration import exploring
from cortexd.routing.forecast import Forecast

# What differs by less than these hardly counts: a ratio to nothing would be endless.
_LEAST_NANO = 100_000  # a hundredth of a cent
_LEAST_MS = 100.0


@dataclass(frozen=True, slots=True)
class _Respect:
    """`points`: how good a known figure is; the best loses nothing, the others the difference."""

    weight: float
    points: Callable[[Forecast], float | None]

    def losses(self, forecasts: Sequence[Forecast]) -> list[float]:
        """Of each; one that is not known counts as the worst that is."""
        points = [self.points(item) for item in forecasts]
        known = [found for found in points if found is not None]
        if not known:
            return [0.0] * len(points)
        best, worst = max(known), min(known)
        return [self.weight * (best - (worst if found is None else found)) for found in points]


def rank(candidates: list[Candidate], field: Field, may_explore: bool) -> list[Candidate]:
    """By points lost, equals in the order that they came in; now and then one whose time nobody knows of late leads."""
    weights = field.config.routing.weights
    respects = (
        _Respect(weights.quality, lambda item: None if item.quality is None else item.quality * 10),
        _Respect(weights.cost, lambda item: _fewer(item.cost_nano, _LEAST_NANO)),
        _Respect(weights.latency, lambda item: _fewer(item.ms, _LEAST_MS)),
    )
    forecasts = [item.forecast for item in candidates]
    lost = [sum(losses) for losses in zip(*(one.losses(forecasts) for one in respects), strict=True)]
    scored = [replace(item, score=round(score, 2)) for item, score in zip(candidates, lost, strict=True)]
    ranked = [_explained(item) for item in sorted(scored, key=lambda item: item.score or 0.0)]
    if ranked:
        ranked[0] = replace(ranked[0], reason=f"best balance: {ranked[0].reason}")
    return exploring(ranked, field) if may_explore else ranked


def _fewer(figure: float | None, least: float) -> float | None:
    """A point for each time that it halves."""
    return None if figure is None else -math.log2(figure + least)


def _explained(candidate: Candidate) -> Candidate:
    known = candidate.forecast
    cost = "cost not known" if known.cost_nano is None else f"likely {format_usd(known.cost_nano)}"
    time = "time not known" if known.ms is None else f"{known.ms:g} ms"
    quality = "quality not known" if known.quality is None else f"quality {known.quality:g}"
    return replace(candidate, reason=", ".join((cost, time, quality)))
