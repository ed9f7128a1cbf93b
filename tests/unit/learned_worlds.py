"""Worlds whose models' qualities the test knows: what is watched in them, what a report says of them and what learning
then yields."""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from cortexd.domain.targets import Target
from cortexd.routing.learned import Arm, Counts, Learner, Policy, Rules
from cortexd.routing.learned.foresight import Contender, Record, Standpoint

RULES = Rules()
FULL_COST = 1_000_000  # nano-USD of the dearest model's usual request


@dataclass(frozen=True, slots=True)
class Kind:
    """How worlds are drawn: sigmas on the logit scale `between_tasks`, `between_models` and of what both have with
    each other, `mixed`. `best`: so much better is one model than all others; `drop`: so much the best of each task
    loses half way through the watching; `graded`: scores between 0 and 1; `told`: part of the answers reported on;
    `misleading`: the catalogue praises the bad ones; `tables`: how many models the operator's table names."""

    tasks: int = 4
    models: int = 4
    between_tasks: float = 0.9
    between_models: float = 0.5
    mixed: float = 0.4
    best: float = 0.0
    drop: float = 0.0
    graded: bool = False
    told: float = 1.0
    misleading: bool = False
    tables: int = 1


KINDS = {
    "independent": Kind(between_models=0.05, mixed=0.8),
    "correlated": Kind(between_models=0.6, mixed=0.1),
    "one_best": Kind(between_models=0.0, mixed=0.2, best=1.2),
    "near_equal": Kind(between_models=0.05, mixed=0.05),
    "drift": Kind(drop=0.35),
    "graded": Kind(graded=True),
    "little_feedback": Kind(told=0.2),
    "misleading_catalogue": Kind(misleading=True),
    "two_tables": Kind(tables=2),
    "two_models": Kind(models=2),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A request: what each model's answer would be worth and cost."""

    task: str
    scores: tuple[float, ...]
    costs: tuple[int, ...]


class World:
    """One of its kind. `table`: the model that the operator gave each task, by its index."""

    def __init__(self, kind: Kind, seed: int) -> None:
        self.kind, self.seed = kind, seed
        self._chance = chance = random.Random(seed)
        logit = chance.gauss(0.4, 0.6)
        favourite = chance.randrange(kind.models)
        own = [chance.gauss(0, kind.between_models) + kind.best * (at == favourite) for at in range(kind.models)]
        self.tasks = [f"task{at}" for at in range(kind.tasks)]
        eases = {task: chance.gauss(0, kind.between_tasks) for task in self.tasks}
        self.qualities = {
            task: [_sigmoid(logit + ease + mine + chance.gauss(0, kind.mixed)) for mine in own]
            for task, ease in eases.items()
        }
        self.later = {task: _dropped(row, kind.drop) for task, row in self.qualities.items()}
        prices = [10 ** chance.uniform(-1.5, 0) for _ in range(kind.models)]
        self.prices = [price / max(prices) for price in prices]
        self.targets = [Target("lab", f"model{at}") for at in range(kind.models)]
        first = chance.randrange(kind.models)
        self.table = {task: (first + at % kind.tables) % kind.models for at, task in enumerate(self.tasks)}
        praise = [1 - sum(row[at] for row in self.qualities.values()) / kind.tasks for at in range(kind.models)]
        self.praised = dict(zip(self.targets, praise, strict=True)) if kind.misleading else {}
        self.arms = [
            Arm(target, RULES.penalty(price, 0.0), self.praised.get(target))
            for target, price in zip(self.targets, self.prices, strict=True)
        ]

    def rows(self, count: int, changes_at: int) -> list[Row]:
        """That many requests; from number `changes_at` on the best ones are worse."""
        chance, rows = self._chance, []
        for number in range(count):
            task = chance.choice(self.tasks)
            row = (self.later if number >= changes_at else self.qualities)[task]
            length = chance.lognormvariate(-0.08, 0.4)
            costs = tuple(int(FULL_COST * price * length) for price in self.prices)
            rows.append(Row(task, tuple(self._scored(quality) for quality in row), costs))
        return rows

    def _scored(self, quality: float) -> float:
        if not self.kind.graded:
            return float(self._chance.random() < quality)
        return min(max(quality + self._chance.gauss(0, 0.15), 0.0), 1.0)

    def contenders(self) -> tuple[Contender, ...]:
        return tuple(
            Contender(arm.target, 0.5, 0.19, arm.penalty, int(FULL_COST * price))
            for arm, price in zip(self.arms, self.prices, strict=True)
        )


def watched(world: World, rows: Sequence[Row]) -> tuple[Learner, list[Record]]:
    """Mode `observe`: the table answers, the learner decides beside it and learns of what ran."""
    learner, told, records = Learner(seed=world.seed), random.Random(world.seed), []
    contenders = world.contenders()
    for number, row in enumerate(rows):
        choice = learner.decide(row.task, world.arms, RULES, _seed(number))
        learner.cells.decided(row.task)
        learner.counts.count(world.targets, explored=False)
        ran = world.table[row.task]
        score = row.scores[ran] if told.random() < world.kind.told else None
        target = world.targets[ran]
        if score is not None:
            learner.cells.learn(row.task, target, score)
        records.append(
            Record(
                task=row.task,
                applied=False,
                ran=target,
                baseline=target,
                greedy=choice.greedy,
                chosen=choice.chosen,
                arms=contenders,
                cost=row.costs[ran],
                score=score,
            )
        )
    return learner, records


def led(world: World, learner: Learner, rows: Sequence[Row]) -> list[Record]:
    """Mode `apply`: the learner's choice answers."""
    policy = Policy(learner.cells, learner.counts, RULES)
    told, records = random.Random(world.seed + 1), []
    for number, row in enumerate(rows):
        choice = policy.decide(row.task, world.arms, _seed(number) ^ world.seed)
        policy.took(row.task, choice)
        ran = world.targets.index(choice.chosen)
        score = row.scores[ran] if told.random() < world.kind.told else None
        if score is not None:
            policy.cells.learn(row.task, choice.chosen, score)
        arms = zip(choice.scores, world.contenders(), strict=True)
        records.append(
            Record(
                task=row.task,
                applied=True,
                ran=choice.chosen,
                baseline=world.targets[world.table[row.task]],
                greedy=choice.greedy,
                chosen=choice.chosen,
                arms=tuple(Contender(it.target, it.mean, it.sigma, it.penalty, arm.cost) for it, arm in arms),
                drawn=choice.why in ("best", "explored"),
                cost=row.costs[ran],
                score=score,
            )
        )
    return records


@dataclass(frozen=True, slots=True)
class Yield:
    """Means of a run, per request."""

    score: float
    cost: float
    value: float


def yielded(world: World, rows: Sequence[Row], asked: Sequence[Target]) -> Yield:
    """What these answers were worth."""
    places = [world.targets.index(target) for target in asked]
    count = len(rows)
    score = sum(row.scores[at] for row, at in zip(rows, places, strict=True)) / count
    cost = sum(row.costs[at] for row, at in zip(rows, places, strict=True)) / count
    return Yield(score, cost, score - sum(world.arms[at].penalty for at in places) / count)


def standpoint(world: World, learner: Learner) -> Standpoint:
    qualities = {(task, target): quality for task in world.tasks for target, quality in world.praised.items()}
    return Standpoint(learner.cells, learner.counts, RULES, qualities)


def fresh(learner: Learner) -> Learner:
    """The same knowledge, which goes its own way."""
    counts = learner.counts
    again = Counts(counts.decisions, counts.explored, set(counts.models), dict(counts.recalled))
    return Learner(learner.cells.copy(), again, seed=1)


@cache
def _seed(number: int) -> int:
    return zlib.crc32(f"request{number}".encode())


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def _dropped(row: Sequence[float], drop: float) -> list[float]:
    best = max(row)
    return [max(quality - drop * (quality == best), 0.02) for quality in row]
