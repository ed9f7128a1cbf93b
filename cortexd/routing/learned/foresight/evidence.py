"""What the reported outcomes show of each model in each task, and how likely it was that this one was asked."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from cortexd.domain.targets import Target
from cortexd.routing.learned.foresight.records import OTHERS, Record, grouped
from cortexd.routing.learned.policy import PACE

_DRAWS = 24  # for the chance that a draw chose one
_LEAST_CHANCE = 0.05  # a weight of 20 at most
_AGAIN = 32  # requests of a task and model after which the chance is looked at anew: it changes slowly
_TRIED = 4000  # outcomes, the newest, by which that is found
_MEMORIES = (1.0, 0.995, 0.98, 0.95)  # what may be left of a score when the next of its model and task comes

Cell = tuple[str, Target]
"""A group of tasks and a model."""


@dataclass(slots=True)
class Tally:
    """Weighted sums of the scores of one cell, of their squares, and of 1 / the chance that it was asked."""

    weight: float = 0.0
    score: float = 0.0
    square: float = 0.0
    chances: float = 0.0

    def add(self, score: float, weight: float, chance: float, kept: float) -> None:
        self.weight = self.weight * kept + weight
        self.score = self.score * kept + score * weight
        self.square = self.square * kept + score * score * weight
        self.chances += weight / chance

    @property
    def mean(self) -> float:
        return self.score / self.weight

    @property
    def variance(self) -> float:
        return max(self.square / self.weight - self.mean**2, 0.0)


@dataclass(frozen=True, slots=True)
class Evidence:
    """`reported`: weight of the outcomes of each group; `spread`: the variance of scores as a part of what it would be
    if each were 0 or 1; `told`: the part of the answers that was reported on."""

    groups: dict[str, str]
    tallies: dict[Cell, Tally]
    reported: dict[str, float]
    spread: float
    told: float

    @classmethod
    def of(cls, records: Sequence[Record], seed: int) -> Evidence:
        """How quickly outcomes fade is what would have foretold the later ones best."""
        groups = grouped(record.task for record in records)
        seen = _seen(records, groups, seed)
        kept = max(_MEMORIES, key=lambda share: _foretold(seen[-_TRIED:], share))
        tallies: dict[Cell, Tally] = {}
        reported: dict[str, float] = {}
        for item in seen:
            tallies.setdefault(item.cell, Tally()).add(item.score, item.weight, item.chance, kept)
            reported[item.cell[0]] = reported.get(item.cell[0], 0.0) + item.weight
        return cls(groups, tallies, reported, _spread(tallies), len(seen) / len(records))

    def group(self, task: str) -> str:
        return self.groups.get(task, OTHERS)

    def matched(self, cell: Cell) -> float:
        """The part of the group's requests for which that model's outcomes speak."""
        tally = self.tallies.get(cell)
        return 0.0 if tally is None else min(1.0, tally.chances / self.reported[cell[0]])


@dataclass(frozen=True, slots=True)
class _Outcome:
    cell: Cell
    score: float
    weight: float
    chance: float


def _seen(records: Sequence[Record], groups: dict[str, str], seed: int) -> list[_Outcome]:
    chances = _Chances(seed)
    return [
        _Outcome((groups[item.task], item.ran), item.score, item.weight, chances.of(item))
        for item in records
        if item.score is not None and item.weight > 0
    ]


class _Chances:
    """How likely each one that ran was to run: a table is sure of itself, a learner draws."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._known: dict[tuple[str, Target, Target], tuple[float, int]] = {}

    def of(self, record: Record) -> float:
        if not record.applied or not record.drawn:
            return 1.0
        key = (record.task, record.ran, record.greedy)
        chance, left = self._known.get(key, (0.0, 0))
        if not left:
            chance, left = self._asked(record), _AGAIN
        self._known[key] = (chance, left - 1)
        return chance

    def _asked(self, record: Record) -> float:
        drawn = PACE * self._won(record)
        return max(drawn + (1 - PACE if record.ran == record.greedy else 0.0), _LEAST_CHANCE)

    def _won(self, record: Record) -> float:
        """The part of draws that the one that ran wins."""
        won = 0
        for _ in range(_DRAWS):
            draws = [self._chance.gauss(arm.mean, arm.sigma) - arm.penalty for arm in record.arms]
            won += record.arms[draws.index(max(draws))].target == record.ran
        return won / _DRAWS


def _foretold(seen: Sequence[_Outcome], kept: float) -> float:
    """The log likelihood of each score by those before it."""
    sums: dict[Cell, list[float]] = {}
    total = 0.0
    for item in seen:
        row = sums.setdefault(item.cell, [0.0, 0.0])
        expected = (row[0] + 1.0) / (row[1] + 2.0)
        total += item.score * math.log(expected) + (1 - item.score) * math.log(1 - expected)
        row[0] = row[0] * kept + item.score
        row[1] = row[1] * kept + 1.0
    return total


def _spread(tallies: dict[Cell, Tally]) -> float:
    seen = sum(tally.weight * tally.variance for tally in tallies.values())
    most = sum(tally.weight * tally.mean * (1 - tally.mean) for tally in tallies.values())
    return min(max(seen / most, 0.05), 1.0) if most > 0 else 1.0
