"""What this daemon has learned from outcomes, and the decisions that it makes by it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from cortexd.domain.outcomes import Outcome
from cortexd.domain.targets import Target
from cortexd.routing.learned.cells import Cells
from cortexd.routing.learned.policy import Arm, Choice, Counts, Policy, Rules, Score


@dataclass(frozen=True, slots=True)
class Standing:
    """How a candidate stands by what was learned. `greedy`: it is the best as far as is known; `chosen`: it was to be
    asked; `why`: as Choice has it."""

    score: Score
    greedy: bool
    chosen: bool
    why: str

    @property
    def explored(self) -> bool:
        return self.chosen and not self.greedy


class Learner:
    """Cells and counts of the machine. Equal ones make equal decisions where `seed`, the machine's, is equal too."""

    def __init__(self, cells: Cells | None = None, counts: Counts | None = None, seed: int | None = None) -> None:
        self.cells = cells or Cells()
        self.counts = counts or Counts()
        self._seed = random.getrandbits(32) if seed is None else seed

    def decide(self, task: str, arms: Sequence[Arm], rules: Rules, seed: int, *, may_explore: bool) -> Choice:
        """As Policy.decide; `seed`: the request's."""
        policy = Policy(self.cells, self.counts, rules)
        return policy.decide(task, arms, self._seed ^ seed, may_explore=may_explore)

    def scores(self, task: str, arms: Sequence[Arm], rules: Rules) -> tuple[Score, ...]:
        """What is known of each."""
        return Policy(self.cells, self.counts, rules).scores(task, arms)

    def took(self, task: str, standings: Sequence[Standing]) -> None:
        """A decision for the first of these was acted on; none: nobody decided."""
        if not standings:
            return
        self.cells.decided(task)
        self.counts.count((standing.score.target for standing in standings), explored=standings[0].explored)

    def recall(self, task: str, target: Target, outcome: Outcome) -> None:
        """An outcome of before the start, in the order of their reports. How many decisions there were, and which
        explored, is not known: it counts as one, and what it may have been let explore as used up."""
        self.cells.decided(task)
        self.cells.learn(task, target, outcome.score, outcome.weight)
        self.counts.recall(target, self.cells.count("", target))
