"""What this daemon has learned from outcomes, and the decisions that it makes by it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from cortexd.domain.outcomes import Outcome
from cortexd.domain.targets import Target
from cortexd.routing.learned.cells import Cells
from cortexd.routing.learned.policy import EXPLORED, Arm, Choice, Counts, Policy, Rules, Score


class Standing(NamedTuple):
    """How a candidate stands by what was learned. `greedy`: it is the best as far as is known; `chosen`: it was to be
    asked; `why`: as Choice has it. `price`, `time` and `switch` are the parts of its penalty; the last is for what
    the conversation has in another one's cache, which costs `switch_nano` (nano-dollars) here."""

    score: Score
    greedy: bool
    chosen: bool
    why: str
    price: float = 0.0
    time: float = 0.0
    switch: float = 0.0
    switch_nano: int | None = None

    @property
    def explored(self) -> bool:
        return self.chosen and self.why == EXPLORED


class Learner:
    """Cells and counts of the machine. Equal ones make equal decisions where `seed`, the machine's, is equal too.

    `watched`: the counts of decisions that nobody acted on, so that what is only noted explores as often as what is
    applied would, and uses up nothing of that."""

    def __init__(self, cells: Cells | None = None, counts: Counts | None = None, seed: int | None = None) -> None:
        self.cells = cells or Cells()
        self.counts = counts or Counts()
        self.watched = Counts()
        self._seed = random.getrandbits(32) if seed is None else seed

    def decide(
        self, task: str, arms: Sequence[Arm], rules: Rules, seed: int, *, barred: str = "", watching: bool = False
    ) -> Choice:
        """As Policy.decide; `seed`: the request's. `watching`: nobody will act on it."""
        policy = Policy(self.cells, self._counts(watching), rules)
        return policy.decide(task, arms, self._seed ^ seed, barred=barred)

    def looks_left(self, rules: Rules, *, watching: bool = False) -> int:
        """As Counts.left."""
        return self._counts(watching).left(rules)

    def _counts(self, watching: bool) -> Counts:
        return self.watched if watching else self.counts

    def scores(self, task: str, arms: Sequence[Arm], rules: Rules) -> tuple[Score, ...]:
        """What is known of each."""
        return Policy(self.cells, self.counts, rules).scores(task, arms)

    def took(self, task: str, standings: Sequence[Standing], *, watching: bool = False) -> None:
        """The request of a decision among these has begun; none: nobody decided."""
        if not standings:
            return
        self.cells.decided(task)
        explored = any(standing.explored for standing in standings)
        self._counts(watching).count((standing.score.target for standing in standings), explored=explored)

    def recall(self, task: str, target: Target, outcome: Outcome) -> None:
        """An outcome of before the start, in the order of their reports. How many decisions there were, and which
        explored, is not known: it counts as one, and what it may have been let explore as used up."""
        self.cells.decided(task)
        self.cells.learn(task, target, outcome.score, outcome.weight)
        for counts in (self.counts, self.watched):
            counts.recall(target, self.cells.count("", target))
