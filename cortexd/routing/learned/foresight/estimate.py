"""A mean with the interval in which a run of requests will lie, from what drawn worlds give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_SIGMAS = 1.96  # 95 of 100 of a normal distribution, and what few draws want beside that (Student's t)
_FEW = 2.4
_COSTS_WIDER = 1.3  # they hang on which model is asked most: few draws miss the rarer ones
_TAIL = 0.03  # of the draws, at either end


@dataclass(frozen=True, slots=True)
class Estimate:
    """`low` to `high`: where it will lie in 95 of 100 cases."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(
        cls,
        draws: Sequence[float],
        variance: float = 0.0,
        bounds: tuple[float, float] | None = None,
        wider: float = 1.0,
    ) -> Estimate:
        """`variance`: what comes to that between the draws; `bounds`: what it cannot leave; `wider`: so many times."""
        count = len(draws)
        mean = sum(draws) / count
        between = sum((draw - mean) ** 2 for draw in draws) / max(count - 1, 1)
        reach = wider * (_SIGMAS + _FEW / count) * math.sqrt(between * (1 + 1 / count) + variance)
        ordered, tail = sorted(draws), int(_TAIL * count)
        low, high = min(mean - reach, ordered[tail]), max(mean + reach, ordered[count - 1 - tail])
        if bounds is not None:
            low, high = max(low, bounds[0]), min(high, bounds[1])
        return cls(mean, min(low, mean), max(high, mean))

    def times(self, factor: float) -> Estimate:
        return Estimate(self.mean * factor, self.low * factor, self.high * factor)

    @classmethod
    def of_costs(cls, draws: Sequence[float], bounds: tuple[float, float] | None = None) -> Estimate:
        return cls.of(draws, bounds=bounds, wider=_COSTS_WIDER)


@dataclass(frozen=True, slots=True)
class Outlook:
    """Per request: the score, 0 to 1; the cost in nano-USD; the value, which is the score less what cost and time take
    from it."""

    score: Estimate
    cost: Estimate
    value: Estimate
