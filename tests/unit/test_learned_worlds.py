"""What the strategy `learned` makes of worlds of each kind: made ones, in which it is known what would be best."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from bench.outcomes import Prompt, World
from bench.replay import Fleet, fixed, learned
from cortexd.domain.messages import Strategy
from cortexd.domain.targets import Target
from cortexd.routing.learned import Arm, Cells, Counts, Policy, Rules

PROMPTS = 4000
SEEDS = range(3)


@dataclass(frozen=True)
class Kind:
    """`good`: how well each model serves each task. `graded`: scores lie between 0 and 1, else they are one of both.
    `may_lose`: what it may be below the best single model, which one knows only afterwards."""

    good: Sequence[Sequence[float]]
    prices: Sequence[float]
    graded: bool = False
    may_lose: float = 0.015

    def world(self) -> World:
        chance = random.Random(1)
        prompts = tuple(self._prompt(number, chance) for number in range(PROMPTS))
        return World(tuple(f"m{index}" for index in range(len(self.prices))), prompts, tuple(self.prices), PROMPTS)

    def _prompt(self, number: int, chance: random.Random) -> Prompt:
        task = chance.randrange(len(self.good))
        scores = tuple(self._score(mean, chance) for mean in self.good[task])
        return Prompt(str(number), f"t{task}", scores, tuple(self.prices), zlib.crc32(b"%d" % number))

    def _score(self, mean: float, chance: random.Random) -> float:
        return chance.betavariate(4 * mean, 4 * (1 - mean)) if self.graded else float(chance.random() < mean)


def falling(models: int, best: float, step: float) -> list[float]:
    return [best - step * index for index in range(models)]


KINDS = {
    "two models, tasks apart": Kind([[0.8, 0.5], [0.4, 0.7], [0.6, 0.6]], [1.0, 0.2]),
    "one clearly best": Kind([[0.9, *[0.4] * 7]] * 3, [1.0, *[0.3] * 7], may_lose=0.04),  # its looks find nothing
    "one clearly best and cheapest": Kind([[*[0.4] * 7, 0.9]] * 3, [*[1.0] * 7, 0.1]),
    "nearly equal": Kind([falling(4, 0.62, 0.01)] * 4, [0.4, 0.6, 0.8, 1.0], may_lose=0.03),
    "equal, one dearer": Kind([[0.6, 0.6]] * 2, [0.1, 1.0]),
    "twelve models, hard and easy tasks": Kind(
        [falling(12, best, 0.03)[::turn] for best in (0.4, 0.6, 0.95) for turn in (1, -1)], falling(12, 1.0, 0.08)
    ),
    "graded": Kind([[0.7, 0.6, 0.4], [0.3, 0.5, 0.6]], [1.0, 0.5, 0.1], graded=True),
    "graded, nothing costs": Kind([[0.5, 0.55], [0.6, 0.5]], [0.0, 0.0], graded=True),
}


class TestWorlds:
    @pytest.mark.parametrize("cost_weight", [0.1, 0.3])
    @pytest.mark.parametrize("name", KINDS)
    def test_hardly_worse_than_the_best_model(self, name: str, cost_weight: float) -> None:
        """And no more is explored than the share, and twenty times for each model."""
        world = KINDS[name].world()
        best = max(fixed(world, cost_weight, index).utility for index in range(len(world.models)))
        runs = [learned(world, cost_weight, seed) for seed in SEEDS]
        assert sum(run.utility for run in runs) / len(runs) >= best - KINDS[name].may_lose
        for run in runs:
            assert run.explored <= 0.05 * PROMPTS + 20 * len(world.models)

    def test_better_where_tasks_differ(self) -> None:
        """Each task's own best is found, among twelve too."""
        for name in ("two models, tasks apart", "twelve models, hard and easy tasks"):
            world = KINDS[name].world()
            best = max(fixed(world, 0.1, index).utility for index in range(len(world.models)))
            assert learned(world, 0.1, seed=0).utility > best + 0.02


class TestDrift:
    @pytest.mark.parametrize("seed", range(5))
    def test_one_that_fails_in_one_task_is_left_there(self, seed: int) -> None:
        """Though it serves all others as well as ever: within 300 requests of that task, and it comes back."""
        chance, policy = random.Random(seed), Policy(Cells(), Counts(), Rules())
        good, fair = Target("a", "good"), Target("a", "fair")
        world = {task: {good: 0.9, fair: 0.6} for task in ("x", "y", "z")}

        def go_on(requests: int) -> Target:
            for step in range(requests * len(world)):
                task = list(world)[step % len(world)]
                choice = policy.decide(task, [Arm(good), Arm(fair)], chance.getrandbits(32))
                policy.took(task, choice)
                policy.cells.learn(task, choice.chosen, float(chance.random() < world[task][choice.chosen]))
            return policy.decide("x", [Arm(good), Arm(fair)], 0, barred="local").chosen

        assert go_on(600) == good
        world["x"][good] = 0.1
        assert go_on(300) == fair
        assert {policy.decide(task, [Arm(good), Arm(fair)], 0, barred="local").chosen for task in "yz"} == {good}
        world["x"][good] = 0.9
        assert go_on(1500) == good


class TestFleet:
    def test_every_strategy_ranks_all_models(self) -> None:
        """As the daemon's own candidates, each once."""
        world = KINDS["twelve models, hard and easy tasks"].world()
        fleet = Fleet(world, 0.1)
        for strategy in Strategy:
            ranked = fleet.ranked(strategy, fleet.field(world.prompts[0]))
            assert sorted(item.model for item in ranked) == sorted(world.models)
