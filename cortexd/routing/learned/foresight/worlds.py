"""Worlds that the evidence allows: how well each model would serve each task.

On the logit scale a model's quality in a task is the model's own, plus the task's ease, plus what the two have with
each other; each part varies by a sigma that is not known either. All are drawn from their joint posterior (Gibbs
sampling; Gelman and Hill 2007, chapter 18). A model that never answered is drawn about the ones that did, a little
below them: an operator's choice is seldom the worst.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cortexd.domain.targets import Target
from cortexd.routing.learned.foresight.evidence import Cell, Evidence

_WARM_UP = 60
_BETWEEN = 4  # sweeps from one world to the next
_MIDDLE_SIGMA = 1.5
# Each part's sigma, and how many draws that counts for: public sets of outcomes have 1.0 between tasks, .5 to 1.0
# between models and .3 to .9 between a model and a task.
_TASKS, _MODELS, _MIXED = (0.9, 2.0), (0.8, 3.0), (0.8, 3.0)
_BELOW = 0.8  # sigmas of models
_CERTAIN = 0.005  # no mean of few outcomes is nearer to 0 or 1

World = dict[Cell, float]
"""How well each model serves each group of tasks, 0 to 1."""


@dataclass(slots=True)
class _Observed:
    """A cell's mean with its variance; `mixed`: what task and model have with each other."""

    task: int
    model: int
    value: float
    variance: float
    mixed: float = 0.0


class Worlds:
    """Endless draws for `groups` of tasks and `models`; equal seeds make equal draws."""

    def __init__(self, shown: Evidence, groups: Sequence[str], models: Sequence[Target], seed: int) -> None:
        self._groups, self._models = list(groups), list(models)
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._seen = _observed(shown, self._groups, self._models)
        self._of_task = _split(self._seen, len(self._groups), lambda cell: cell.task)
        self._of_model = _split(self._seen, len(self._models), lambda cell: cell.model)
        self._middle = sum(cell.value for cell in self._seen) / max(len(self._seen), 1)
        self._ease = [0.0] * len(self._groups)
        self._own = [self._middle] * len(self._models)
        self._variances = [sigma**2 for sigma, _ in (_TASKS, _MODELS, _MIXED)]

    def __iter__(self) -> Iterator[World]:
        for _ in range(_WARM_UP):
            self._sweep()
        while True:
            for _ in range(_BETWEEN):
                self._sweep()
            yield self._world()

    def _sweep(self) -> None:
        tasks, models, mixed = self._variances
        for index, cells in enumerate(self._of_task):
            about = [(cell.value - self._own[cell.model], cell.variance + mixed) for cell in cells]
            self._ease[index] = self._normal(0.0, tasks, about)
        for index, cells in enumerate(self._of_model):
            about = [(cell.value - self._ease[cell.task], cell.variance + mixed) for cell in cells]
            self._own[index] = self._normal(self._middle, models, about)
        for cell in self._seen:
            left = cell.value - self._own[cell.model] - self._ease[cell.task]
            cell.mixed = self._normal(0.0, mixed, [(left, cell.variance)])
        self._sweep_spread()

    def _sweep_spread(self) -> None:
        tried = [own for own, cells in zip(self._own, self._of_model, strict=True) if cells]
        eases = [ease for ease, cells in zip(self._ease, self._of_task, strict=True) if cells]
        self._middle = self._normal(0.0, _MIDDLE_SIGMA**2, [(own, self._variances[1]) for own in tried])
        self._variances = [
            self._variance(_TASKS, eases),
            self._variance(_MODELS, [own - self._middle for own in tried]),
            self._variance(_MIXED, [cell.mixed for cell in self._seen]),
        ]

    def _normal(self, mean: float, variance: float, about: Sequence[tuple[float, float]]) -> float:
        """From the posterior of what these values, each with its variance, are about."""
        precision = 1.0 / variance + sum(1.0 / each for _, each in about)
        weighted = mean / variance + sum(value / each for value, each in about)
        return self._chance.gauss(weighted / precision, precision**-0.5)

    def _variance(self, before: tuple[float, float], values: Sequence[float]) -> float:
        sigma, weight = before
        total = weight * sigma**2 + sum(value * value for value in values)
        return total / max(self._chance.gammavariate((weight + len(values)) / 2, 2.0), 1e-6)

    def _world(self) -> World:
        mixed = {(cell.task, cell.model): cell.mixed for cell in self._seen}
        own, apart = self._all_models(), self._variances[2] ** 0.5
        world = {}
        for task, group in enumerate(self._groups):
            for model, target in enumerate(self._models):
                met = mixed.get((task, model))
                extra = self._chance.gauss(0.0, apart) if met is None else met
                world[group, target] = _chance_of(own[model] + self._ease[task] + extra)
        return world

    def _all_models(self) -> list[float]:
        apart = self._variances[1] ** 0.5
        expected = self._middle - _BELOW * apart
        return [
            own if cells else self._chance.gauss(expected, apart)
            for own, cells in zip(self._own, self._of_model, strict=True)
        ]


def _observed(shown: Evidence, groups: Sequence[str], models: Sequence[Target]) -> list[_Observed]:
    tasks, places = {name: at for at, name in enumerate(groups)}, {name: at for at, name in enumerate(models)}
    weight = sum(tally.weight for tally in shown.tallies.values())
    overall = (sum(tally.score for tally in shown.tallies.values()) + 1.0) / (weight + 2.0)
    cells = []
    for (group, target), tally in shown.tallies.items():
        mean = (tally.score + overall) / (tally.weight + 1.0)
        mean = min(max(mean, _CERTAIN), 1 - _CERTAIN)
        variance = shown.spread / (tally.weight * mean * (1 - mean))
        cells.append(_Observed(tasks[group], places[target], math.log(mean / (1 - mean)), variance))
    return cells


def _split(cells: Sequence[_Observed], size: int, place: Callable[[_Observed], int]) -> list[list[_Observed]]:
    rows: list[list[_Observed]] = [[] for _ in range(size)]
    for cell in cells:
        rows[place(cell)].append(cell)
    return rows


def _chance_of(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(logit, -6.0), 6.0)))
