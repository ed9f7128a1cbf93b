"""What the daemon's own policy makes of a world: its learning, exploring and forgetting are counted."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cortexd.domain.targets import Target
from cortexd.routing.learned.cells import Cells
from cortexd.routing.learned.foresight.evidence import Cell, Evidence
from cortexd.routing.learned.foresight.records import Contender, Record
from cortexd.routing.learned.foresight.worlds import World
from cortexd.routing.learned.policy import Arm, Counts, Policy, Rules

_REST_EVERY = 32  # requests
_APART = 2654435761  # requests' seeds


@dataclass(frozen=True, slots=True)
class Standpoint:
    """Where the learner stands before a run; `qualities`: the catalogue's, 0 to 1, by task and model."""

    cells: Cells
    counts: Counts
    rules: Rules
    qualities: Mapping[Cell, float] = field(default_factory=dict)

    def aside(self, tasks: Collection[str]) -> Standpoint:
        """What it knows of these tasks, which stays as it is while the learner goes on."""
        counts = self.counts
        again = Counts(counts.decisions, counts.explored, set(counts.models), dict(counts.recalled))
        return Standpoint(self.cells.copy(tasks), again, self.rules, self.qualities)

    def policies(self, tasks: Collection[str]) -> tuple[Policy, Policy]:
        """One that explores and one that never does, of the same cells and counts, which are copies."""
        own = self.aside(tasks)
        steady = replace(own.rules, explore_share=0.0)
        return Policy(own.cells, own.counts, own.rules), Policy(own.cells, own.counts, steady)


@dataclass(frozen=True, slots=True)
class Request:
    """One like a recorded one. `costs`: forecasts in nano-USD."""

    task: str
    group: str
    baseline: Target
    may_explore: bool
    arms: tuple[Arm, ...]
    penalties: Mapping[Target, float]
    costs: Mapping[Target, float]


@dataclass(slots=True)
class Asked:
    """Sums over the requests of one cell."""

    requests: int = 0
    penalty: float = 0.0
    cost: float = 0.0


@dataclass(slots=True)
class Run:
    asked: dict[Cell, Asked] = field(default_factory=dict)
    requests: int = 0
    explored: int = 0

    def add(self, request: Request, target: Target) -> None:
        row = self.asked.setdefault((request.group, target), Asked())
        row.requests += 1
        row.penalty += request.penalties.get(target, 0.0)
        row.cost += request.costs.get(target, 0.0)
        self.requests += 1


def requests_like(records: Sequence[Record], shown: Evidence, qualities: Mapping[Cell, float]) -> list[Request]:
    made: dict[tuple[str, tuple[Contender, ...]], Request] = {}
    requests = []
    for item in records:
        like = made.get((item.task, item.arms))
        if like is None:
            like = made[item.task, item.arms] = _request(item, shown.group(item.task), qualities)
        if (like.baseline, like.may_explore) != (item.baseline, item.may_explore):
            like = replace(like, baseline=item.baseline, may_explore=item.may_explore)
        requests.append(like)
    return requests


def _request(item: Record, group: str, qualities: Mapping[Cell, float]) -> Request:
    return Request(
        item.task,
        group,
        item.baseline,
        item.may_explore,
        tuple(Arm(arm.target, arm.penalty, qualities.get((item.task, arm.target))) for arm in item.arms),
        {arm.target: arm.penalty for arm in item.arms},
        {arm.target: float(arm.cost or 0) for arm in item.arms},
    )


def applied(
    world: World,
    requests: Sequence[Request],
    standpoint: Standpoint,
    shown: Evidence,
    seed: int,
    rest: Callable[[], None],
) -> Run:
    """The policy over these requests in that world, where as many as now are reported on. `rest` is called often."""
    (free, steady), run = standpoint.policies(shown.groups), Run()
    chance = random.Random(seed)  # noqa: S311 - no secret
    for place, item in enumerate(requests):
        if place % _REST_EVERY == 0:
            rest()
        policy = free if item.may_explore else steady
        choice = policy.decide(item.task, item.arms, seed ^ place * _APART)
        policy.took(item.task, choice)
        run.add(item, choice.chosen)
        run.explored += choice.explored
        if chance.random() < shown.told:
            score = _scored(world[item.group, choice.chosen], shown.spread, chance)
            policy.cells.learn(item.task, choice.chosen, score)
    return run


def _scored(quality: float, spread: float, chance: random.Random) -> float:
    """A score of that mean, whose variance is `spread` of what a toss's would be."""
    return float(chance.random() < quality) if chance.random() < spread else quality


def unlearned(requests: Sequence[Request]) -> Run:
    """Those who lead without learning."""
    run = Run()
    for item in requests:
        run.add(item, item.baseline)
    return run
