"""Outcomes of several models on the same prompts, and what a way of choosing among them makes of those.

A file has the columns `id, task, prompt_chars[, prompt], score:MODEL…, cost:MODEL…`, scores from 0 to 1 and costs in
any one unit. A chooser sees the score of the model that it chose, and of no other. Utility is the score less
lambda times the cost, the dearest model's mean cost being 1.
"""

from __future__ import annotations

import csv
import random
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from statistics import mean

from cortexd.domain.targets import Target
from cortexd.routing.learned import Arm, Cells, Counts, Policy, Rules

csv.field_size_limit(16 * 1024 * 1024)  # prompts are longer than the module's own limit


class BadFile(Exception):
    """It is no such file; the text says why."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One row: scores and costs in the order of the models, costs in parts of the dearest model's mean."""

    id: str
    task: str
    scores: tuple[float, ...]
    costs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class World:
    """`prices`: each model's mean cost, in parts of the dearest's."""

    models: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    prices: tuple[float, ...]

    @classmethod
    def read(cls, path: Path) -> World:
        """Raises BadFile or OSError."""
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or ()
            models = tuple(name.removeprefix("score:") for name in names if name.startswith("score:"))
            missing = [name for name in ("id", "task", *(f"cost:{model}" for model in models)) if name not in names]
            if missing or not models:
                raise BadFile(f"{path}: no column {', '.join(missing or ['score:MODEL'])}")
            prompts = [_numbers(path, number, row, models) for number, row in enumerate(rows, 2)]
        if not prompts:
            raise BadFile(f"{path}: no outcomes")
        return cls._of(models, prompts)

    @classmethod
    def _of(cls, models: tuple[str, ...], prompts: list[Prompt]) -> World:
        means = [mean(prompt.costs[index] for prompt in prompts) for index in range(len(models))]
        dearest = max(means) or 1.0
        scaled = [
            Prompt(item.id, item.task, item.scores, tuple(cost / dearest for cost in item.costs)) for item in prompts
        ]
        return cls(models, tuple(scaled), tuple(cost / dearest for cost in means))


def _numbers(path: Path, line: int, row: dict[str, str], models: Sequence[str]) -> Prompt:
    try:
        scores = tuple(float(row[f"score:{model}"]) for model in models)
        costs = tuple(float(row[f"cost:{model}"]) for model in models)
    except (TypeError, ValueError):
        raise BadFile(f"{path}, line {line}: a score or cost is no number") from None
    if not all(0 <= score <= 1 for score in scores) or not all(0 <= cost < inf for cost in costs):
        raise BadFile(f"{path}, line {line}: scores are from 0 to 1, costs are not negative")
    return Prompt(row["id"], row["task"], scores, costs)


@dataclass(slots=True)
class Outcome:
    """Means over one replay. `regret`: utility that the best model of each task would have had more, summed up at each
    twentieth of the way; `decision_us`: how long each decision took."""

    utility: float = 0.0
    score: float = 0.0
    cost: float = 0.0
    explored: int = 0
    regret: list[float] = field(default_factory=list)
    decision_us: list[float] = field(default_factory=list)


Chooser = Callable[[Prompt], int]
"""The index of the model to ask."""


def shuffled(world: World, seed: int) -> list[Prompt]:
    prompts = list(world.prompts)
    random.Random(seed).shuffle(prompts)
    return prompts


def replay(world: World, cost_weight: float, choices: Iterator[tuple[Prompt, int]]) -> Outcome:
    """What becomes of these choices."""
    best = _best_of_tasks(world, cost_weight)
    outcome, regret, total = Outcome(), 0.0, len(world.prompts)
    for number, (prompt, index) in enumerate(choices, 1):
        outcome.score += prompt.scores[index]
        outcome.cost += prompt.costs[index]
        chosen = best[prompt.task]
        regret += utility(prompt, chosen, cost_weight) - utility(prompt, index, cost_weight)
        if number * 20 // total > (number - 1) * 20 // total:
            outcome.regret.append(round(regret, 3))
    outcome.score /= total
    outcome.cost /= total
    outcome.utility = outcome.score - cost_weight * outcome.cost
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


def learned(world: World, cost_weight: float, seed: int, feedback: float = 1.0) -> Outcome:
    """The daemon's own cells and policy from nothing, where a part of the answers, `feedback`, is reported on."""
    rules = Rules(cost_weight=cost_weight)
    targets = [Target("replay", model) for model in world.models]
    arms = [Arm(target, rules.penalty(price, 0.0)) for target, price in zip(targets, world.prices, strict=True)]
    policy = Policy(Cells(), Counts(), rules)
    told = random.Random(seed)
    times: list[float] = []

    def choices() -> Iterator[tuple[Prompt, int]]:
        for prompt in shuffled(world, seed):
            began = time.perf_counter()
            choice = policy.decide(prompt.task, arms, seed ^ zlib.crc32(prompt.id.encode()))
            times.append((time.perf_counter() - began) * 1e6)
            policy.took(prompt.task, choice)
            index = targets.index(choice.chosen)
            if told.random() < feedback:
                policy.cells.learn(prompt.task, choice.chosen, prompt.scores[index])
            yield prompt, index

    outcome = replay(world, cost_weight, choices())
    outcome.explored, outcome.decision_us = policy.counts.explored, times
    return outcome
