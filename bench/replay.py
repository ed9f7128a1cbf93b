"""What ways of choosing among models make of outcomes (bench/outcomes.py).

A chooser sees the score of the model that it chose, and of no other. Utility is the score less lambda times the cost,
the dearest model's mean cost being 1. The strategies are the daemon's own: they rank candidates whose likely cost is
the model's mean cost.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from math import sqrt
from statistics import pstdev
from typing import cast

from bench.outcomes import Prompt, World
from cortexd.catalog import builtin_catalog
from cortexd.config import builtin_config
from cortexd.config.settings import LearnedSettings
from cortexd.domain.messages import Message, Options, Role, Strategy
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType
from cortexd.routing import Candidate, Forecast, Health, Learner, Question, State
from cortexd.routing.candidates import Field
from cortexd.routing.strategies import ranking
from cortexd.routing.wishes import NONE

_PROVIDER = "replay"
_NANO = 1_000_000_000  # the dearest model's mean cost
_THEN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Outcome:
    """Means over one replay. `error`: the standard error of `utility` over the prompts. `regret`: utility that the best
    model of each task would have had more, summed up at each twentieth of the way; `decision_us`: how long each
    decision took."""

    utility: float = 0.0
    error: float = 0.0
    score: float = 0.0
    cost: float = 0.0
    explored: int = 0
    regret: list[float] = field(default_factory=list)
    decision_us: list[float] = field(default_factory=list)


def shuffled(world: World, seed: int) -> list[Prompt]:
    prompts = list(world.prompts)
    random.Random(seed).shuffle(prompts)
    return prompts


def replay(world: World, cost_weight: float, choices: Iterator[tuple[Prompt, int]]) -> Outcome:
    """What becomes of these choices, indices of models."""
    best = _best_of_tasks(world, cost_weight)
    outcome, regret, total = Outcome(), 0.0, len(world.prompts)
    utilities = []
    for number, (prompt, index) in enumerate(choices, 1):
        outcome.score += prompt.scores[index]
        outcome.cost += prompt.costs[index]
        utilities.append(utility(prompt, index, cost_weight))
        regret += utility(prompt, best[prompt.task], cost_weight) - utilities[-1]
        if number * 20 // total > (number - 1) * 20 // total:
            outcome.regret.append(round(regret, 3))
    outcome.score /= total
    outcome.cost /= total
    outcome.utility = outcome.score - cost_weight * outcome.cost
    outcome.error = pstdev(utilities) / sqrt(total)
    return outcome


def utility(prompt: Prompt, index: int, cost_weight: float) -> float:
    return prompt.scores[index] - cost_weight * prompt.costs[index]


def _best_of_tasks(world: World, cost_weight: float) -> dict[str, int]:
    """The model with the most utility in each task, known afterwards."""
    sums: dict[str, list[float]] = {}
    for prompt in world.prompts:
        row = sums.setdefault(prompt.task, [0.0] * len(world.models))
        for index in range(len(row)):
            row[index] += utility(prompt, index, cost_weight)
    return {task: max(range(len(row)), key=row.__getitem__) for task, row in sums.items()}


def fixed(world: World, cost_weight: float, index: int) -> Outcome:
    return replay(world, cost_weight, ((prompt, index) for prompt in world.prompts))


def oracle(world: World, cost_weight: float) -> Outcome:
    """Who knows every score beforehand."""
    models = range(len(world.models))
    best = ((item, max(models, key=lambda index: utility(item, index, cost_weight))) for item in world.prompts)
    return replay(world, cost_weight, best)


def at_random(world: World, cost_weight: float, seed: int) -> Outcome:
    chance = random.Random(seed)
    models = range(len(world.models))
    return replay(world, cost_weight, ((prompt, chance.choice(models)) for prompt in shuffled(world, seed)))


class Fleet:
    """The world's models as the daemon's candidates, in the file's order, for requests of any task."""

    def __init__(self, world: World, cost_weight: float, learner: Learner | None = None) -> None:
        self.index = {Target(_PROVIDER, model): index for index, model in enumerate(world.models)}
        self.candidates = [
            Candidate(_PROVIDER, model, "", 0, None, State.OK, Forecast(cost_nano=round(price * _NANO)))
            for model, price in zip(world.models, world.prices, strict=True)
        ]
        config = builtin_config()
        routing = replace(config.routing, learned=LearnedSettings(cost_weight=cost_weight))
        config = replace(config, routing=routing)
        asked = self._question("")
        made = Field.of(asked, config, builtin_catalog(), Health(), NONE, forecasts=True)
        self._field = replace(made, learner=learner or made.learner)

    def ranked(self, strategy: Strategy, field: Field, *, may_explore: bool = False) -> list[Candidate]:
        return ranking(strategy)(self.candidates, field, may_explore)

    def field(self, prompt: Prompt) -> Field:
        return replace(self._field, question=self._question(prompt.task), seed=prompt.seed)

    @staticmethod
    @cache
    def _question(task: str) -> Question:
        """A file's tasks are its own, which the daemon's routing never looks into."""
        return Question(cast("TaskType", task), (Message(Role.USER, ""),), Options(), _THEN)


def chosen(world: World, cost_weight: float, strategy: Strategy) -> Outcome:
    """One of the strategies that no outcome moves: it ranks alike for all prompts of a task."""
    fleet = Fleet(world, cost_weight)
    firsts: dict[str, int] = {}

    def choices() -> Iterator[tuple[Prompt, int]]:
        for prompt in world.prompts:
            if prompt.task not in firsts:
                firsts[prompt.task] = fleet.index[fleet.ranked(strategy, fleet.field(prompt))[0].target]
            yield prompt, firsts[prompt.task]

    return replay(world, cost_weight, choices())


def learned(world: World, cost_weight: float, seed: int, feedback: float = 1.0) -> Outcome:
    """The daemon's strategy `learned` from nothing, where a part of the answers, `feedback`, is reported on."""
    learner = Learner(seed=seed)
    fleet = Fleet(world, cost_weight, learner)
    told = random.Random(seed)
    times: list[float] = []

    def choices() -> Iterator[tuple[Prompt, int]]:
        for prompt in shuffled(world, seed):
            field = fleet.field(prompt)
            began = time.thread_time()
            ranked = fleet.ranked(Strategy.LEARNED, field, may_explore=True)
            times.append((time.thread_time() - began) * 1e6)
            standing, target = ranked[0].standing, ranked[0].target
            learner.cells.decided(prompt.task)
            learner.counts.count(fleet.index, explored=standing is not None and standing.explored)
            index = fleet.index[target]
            if told.random() < feedback:
                learner.cells.learn(prompt.task, target, prompt.scores[index])
            yield prompt, index

    outcome = replay(world, cost_weight, choices())
    outcome.explored, outcome.decision_us = learner.counts.explored, times
    return outcome
