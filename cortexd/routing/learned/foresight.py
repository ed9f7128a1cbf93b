"""What the learned strategy would yield from here on, before anybody turns it on: many worlds as the outcomes so far
allow them, and the policy let loose in each.

Where only one model has ever served a task nothing is known of the others there, and the interval says so.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from statistics import mean

from cortexd.domain.targets import Target
from cortexd.routing.learned.cells import UNKNOWN_QUALITY, Cells
from cortexd.routing.learned.policy import Arm, Counts, Policy, Rules

_BETWEEN = (0.025, 0.975)
_LIFT = 0.2  # of all untried models together above what is expected of them, as a standard deviation
_WEIGHTS = (4.0, 8.0, 16.0, 32.0)  # of a model's mean in its tasks: nobody knows how much tasks differ


@dataclass(frozen=True, slots=True)
class Share:
    """So many requests of a task, who could answer them, and who did."""

    task: str
    requests: int
    arms: tuple[Arm, ...]
    ran: Target


@dataclass(frozen=True, slots=True)
class Estimate:
    """Utility per request (score less penalty), and the interval that holds 95 of 100 worlds."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Foresight:
    """`apply`: what the strategy would yield; `stay`: what goes on as it is; `gain`: the one less the other."""

    apply: Estimate
    stay: Estimate
    gain: Estimate


def foresee(cells: Cells, rules: Rules, shares: Sequence[Share], *, requests: int, worlds: int, seed: int) -> Foresight:
    """So many requests ahead, mixed as `shares` (at least one) are, in so many worlds."""
    pairs = [_lived(cells, rules, shares, requests, random.Random(seed * 1_000_003 + n)) for n in range(worlds)]
    applied, stayed = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Foresight(_estimate(applied), _estimate(stayed), _estimate([one - other for one, other in pairs]))


def _lived(
    cells: Cells, rules: Rules, shares: Sequence[Share], requests: int, chance: random.Random
) -> tuple[float, float]:
    """Utility per request of the policy and of what runs now, in one world."""
    world = _world(cells, shares, chance)
    policy = Policy(deepcopy(cells), Counts(), rules)
    applied = stayed = 0.0
    for share in chance.choices(shares, [item.requests for item in shares], k=requests):
        choice = policy.decide(share.task, share.arms, chance.getrandbits(32))
        policy.took(share.task, choice)
        penalties = {arm.target: arm.penalty for arm in share.arms}
        score = float(chance.random() < world[share.task, choice.chosen])
        policy.cells.learn(share.task, choice.chosen, score)
        applied += score - penalties[choice.chosen]
        stayed += float(chance.random() < world[share.task, share.ran]) - penalties.get(share.ran, 0.0)
    return applied / requests, stayed / requests


def _world(cells: Cells, shares: Sequence[Share], chance: random.Random) -> Mapping[tuple[str, Target], float]:
    """How well each model serves each task, drawn from what is known of it: first how good models are that nobody has
    tried, and how much tasks differ, then each model, then each task."""
    lift, weight = chance.gauss(0, _LIFT), chance.choice(_WEIGHTS)
    models: dict[Target, float] = {}
    drawn = {}
    for share in shares:
        for target, quality in {share.ran: None, **{arm.target: arm.quality for arm in share.arms}}.items():
            if target not in models:
                expected = UNKNOWN_QUALITY if quality is None else quality
                over_all = cells.model(target, min(max(expected + lift, 0.02), 0.98))
                models[target] = chance.betavariate(over_all.good, over_all.bad)
            known = cells.in_task(share.task, target, models[target], weight)
            drawn[share.task, target] = chance.betavariate(known.good, known.bad)
    return drawn


def _estimate(values: Sequence[float]) -> Estimate:
    ordered = sorted(values)
    low, high = (ordered[round(part * (len(ordered) - 1))] for part in _BETWEEN)
    return Estimate(mean(ordered), low, high)
