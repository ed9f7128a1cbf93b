"""Sums in which what came long ago counts less and less: means, ratios and straight lines through what was seen."""

from __future__ import annotations

import math
from dataclasses import dataclass


def half_life(answers: int) -> float:
    """What remains of a sum at each answer, so that what came so many answers ago counts half."""
    return math.pow(0.5, 1 / answers)


@dataclass(slots=True)
class Mean:
    """Of values, or, with amounts as weights, of a rate."""

    weight: float = 0.0
    total: float = 0.0

    def add(self, value: float, kept: float, weight: float = 1.0) -> None:
        self.weight = self.weight * kept + weight
        self.total = self.total * kept + value

    def shrunk(self, expected: float, trust: float) -> float:
        """As if a weight of `trust` had been seen at `expected` before."""
        return (self.total + trust * expected) / (self.weight + trust)


@dataclass(slots=True)
class Line:
    """y over x by least squares. `slope` is what is believed of it before values of x are seen that lie apart, as if
    one pair had been seen that lies `spread` from the middle."""

    slope: float
    spread: float
    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def add(self, x: float, y: float, kept: float, weight: float = 1.0) -> None:
        self.weight = self.weight * kept + weight
        self.x = self.x * kept + weight * x
        self.y = self.y * kept + weight * y
        self.xx = self.xx * kept + weight * x * x
        self.xy = self.xy * kept + weight * x * y

    def at(self, x: float) -> float | None:
        """The likely y, never less than 0; None before anything was seen. More x is never less y."""
        if not self.weight:
            return None
        middle, mean = self.x / self.weight, self.y / self.weight
        apart = self.xx - middle * self.x + self.spread**2
        slope = (self.xy - middle * self.y + self.slope * self.spread**2) / apart
        return max(0.0, mean + max(0.0, slope) * (x - middle))
