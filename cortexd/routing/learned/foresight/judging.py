"""What a run in a drawn world gives, set right by what was reported: doubly robust (Dudík, Langford and Li 2011).

The world says how each model that was asked would do. As far as the same model ran for the same tasks, the outcomes
themselves take its place, each weighed by one over the chance that it was asked.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cortexd.routing.learned.foresight.estimate import Estimate, Outlook
from cortexd.routing.learned.foresight.evidence import Cell, Evidence
from cortexd.routing.learned.foresight.forward import Run
from cortexd.routing.learned.foresight.records import Record
from cortexd.routing.learned.foresight.worlds import World

_UNSURE = 4.0  # outcomes beside which a cell's own mean counts half
_UNTOLD = 0.05  # a sigma of how far those answers differ that nobody reported on
_PRICE_SIGMA = 0.15  # of what a model costs that has not run, as a part of its forecast
_TOSS = 0.25  # the most that a score's variance can be


@dataclass(slots=True)
class Given:
    """Sums over a run's requests; `variance`: of the mean score, beside that between worlds."""

    requests: int = 0
    score: float = 0.0
    cost: float = 0.0
    penalty: float = 0.0
    variance: float = 0.0

    def add(self, other: Given) -> None:
        self.requests += other.requests
        self.score += other.score
        self.cost += other.cost
        self.penalty += other.penalty
        self.variance += other.variance


@dataclass(slots=True)
class Judged:
    """By cell."""

    cells: dict[Cell, Given] = field(default_factory=dict)

    def total(self, group: str | None = None) -> Given:
        """Of one group of tasks; None: of all."""
        total = Given()
        for (name, _), given in self.cells.items():
            if group in (None, name):
                total.add(given)
        return total


def judged(run: Run, world: World, shown: Evidence, prices: Mapping[Cell, float]) -> Judged:
    """`prices`: what a model costs in parts of its forecast."""
    cells = {}
    for cell, row in run.asked.items():
        quality, variance = _set_right(cell, world[cell], shown)
        chance = shown.spread * quality * (1 - quality) * row.requests
        spread = variance * row.requests**2 + chance
        cells[cell] = Given(row.requests, quality * row.requests, row.cost * prices[cell], row.penalty, spread)
    return Judged(cells)


def _set_right(cell: Cell, quality: float, shown: Evidence) -> tuple[float, float]:
    """The quality by the outcomes of that very model as far as there are some, and its variance."""
    tally = shown.tallies.get(cell)
    if tally is None:
        return quality, 0.0
    trust = shown.matched(cell) * tally.weight / (tally.weight + _UNSURE)
    variance = (tally.variance + _TOSS / tally.weight) / tally.weight
    return quality + trust * (tally.mean - quality), trust**2 * variance


def ratios(records: Sequence[Record], shown: Evidence) -> dict[str, float]:
    """What requests cost in parts of their forecast, by group of tasks."""
    sums: dict[str, list[float]] = {}
    for item in records:
        forecast = next((arm.cost for arm in item.arms if arm.target == item.ran), None)
        if forecast and item.cost is not None:
            row = sums.setdefault(shown.group(item.task), [0.0, 0.0])
            row[0] += item.cost
            row[1] += forecast
    return {group: row[0] / row[1] for group, row in sums.items()}


def drawn_prices(
    world: World, shown: Evidence, by_group: Mapping[str, float], chance: random.Random
) -> dict[Cell, float]:
    prices = {}
    for cell in world:
        ratio = by_group.get(cell[0], 1.0)
        prices[cell] = ratio if cell in shown.tallies else ratio * math.exp(chance.gauss(0, _PRICE_SIGMA))
    return prices


def outlook(rows: Sequence[Given], shown: Evidence) -> Outlook:
    """Of the same run in each world."""
    untold = ((1 - shown.told) * _UNTOLD) ** 2
    variance = sum(row.variance / row.requests**2 for row in rows) / len(rows) + untold
    return Outlook(
        Estimate.of([row.score / row.requests for row in rows], variance, (0.0, 1.0)),
        Estimate.of_costs([row.cost / row.requests for row in rows], (0.0, math.inf)),
        Estimate.of([(row.score - row.penalty) / row.requests for row in rows], variance),
    )


def gain(one: Sequence[Judged], other: Sequence[Judged], shown: Evidence, group: str | None = None) -> Outlook:
    """Of the first over the second; what both ask for of the same model cancels out."""
    rows = [_difference(a, b, shown, group) for a, b in zip(one, other, strict=True)]
    variance = sum(row.variance for row in rows) / len(rows)
    return Outlook(
        Estimate.of([row.score for row in rows], variance, (-1.0, 1.0)),
        Estimate.of_costs([row.cost for row in rows]),
        Estimate.of([row.score - row.penalty for row in rows], variance),
    )


def _difference(one: Judged, other: Judged, shown: Evidence, group: str | None) -> Given:
    a, b = one.total(group), other.total(group)
    moved = sum(
        max(0, given.requests - (other.cells[cell].requests if cell in other.cells else 0))
        for cell, given in one.cells.items()
        if group in (None, cell[0])
    )
    share = moved / a.requests
    variance = share * (a.variance + b.variance) / a.requests**2 + (share * (1 - shown.told) * _UNTOLD) ** 2
    return Given(
        1,
        (a.score - b.score) / a.requests,
        (a.cost - b.cost) / a.requests,
        (a.penalty - b.penalty) / a.requests,
        variance,
    )
