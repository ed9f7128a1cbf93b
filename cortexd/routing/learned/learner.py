"""What this daemon has learned from outcomes, and the decisions that it makes by it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cortexd.domain.learned import CountKey, Learned
from cortexd.domain.messages import LearnedMode
from cortexd.domain.outcomes import Outcome
from cortexd.domain.targets import Target
from cortexd.routing.learned import counting
from cortexd.routing.learned.cells import Cells
from cortexd.routing.learned.policy import EXPLORED, Arm, Choice, Counts, Policy, Rules, Score

_Among = tuple[LearnedMode, Target]
"""One whom there was to choose among in decisions of a mode."""


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


@dataclass(frozen=True, slots=True)
class Counted:
    """What a decision counts for: by how much it raises what is kept; and what to do once that is, or will not be."""

    more: Mapping[CountKey, int]
    kept: Callable[[], None]
    given_back: Callable[[], None]


NOT_COUNTED = Counted({}, lambda: None, lambda: None)


class Learner:
    """Cells and counts of the machine. Equal ones make equal decisions where `seed`, the machine's, is equal too.

    `watched`: the counts of decisions that nobody acted on, so that what is only noted explores as often as what is
    applied would, and uses up nothing of that."""

    def __init__(self, cells: Cells | None = None, counts: Counts | None = None, seed: int | None = None) -> None:
        self.cells = cells or Cells()
        self.counts = counts or Counts()
        self.watched = Counts()
        self._seed = random.getrandbits(32) if seed is None else seed
        self._kept: set[_Among] = set()  # in the ledger
        self._awaited: Counter[_Among] = Counter()  # how many decisions may bring one there

    @property
    def counts_by_mode(self) -> Mapping[LearnedMode, Counts]:
        return {LearnedMode.OBSERVE: self.watched, LearnedMode.APPLY: self.counts}

    @property
    def learned(self) -> Learned:
        """All that it knows, to be kept."""
        counts = counting.of_cells(self.cells) | {(counting.SEED, ""): self._seed}
        for mode, known in self.counts_by_mode.items():
            counts |= counting.of_counts(known, mode)
        return Learned(dict(self.cells), counts, begun=True)

    def adopt(self, learned: Learned) -> None:
        """Know this alone from now on."""
        self.cells = counting.cells_of(learned)
        self.watched = counting.counts_of(learned, LearnedMode.OBSERVE)
        self.counts = counting.counts_of(learned, LearnedMode.APPLY)
        self._seed = learned.counts.get((counting.SEED, ""), self._seed)
        self._kept = {(mode, model) for mode, known in self.counts_by_mode.items() for model in known.models}

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

    def took(self, task: str, standings: Sequence[Standing], mode: LearnedMode = LearnedMode.APPLY) -> Counted:
        """A decision among these is acted on, or noted; none: nobody decided. What it counts for is to be kept with its
        request, or to be given back."""
        if not standings:
            return NOT_COUNTED
        models = tuple(standing.score.target for standing in standings)
        explored = any(standing.explored for standing in standings)
        self.cells.decided(task)
        self.counts_by_mode[mode].count(models, explored=explored)
        new = tuple((mode, model) for model in models if (mode, model) not in self._kept)
        self._awaited.update(new)
        more = counting.of_decision(task, mode, (model for _, model in new), explored=explored)
        return Counted(more, lambda: self._keep(new), lambda: self._give_back(task, mode, new, explored=explored))

    def _keep(self, new: Sequence[_Among]) -> None:
        self._kept.update(new)
        self._awaited -= Counter(new)

    def _give_back(self, task: str, mode: LearnedMode, new: Sequence[_Among], *, explored: bool) -> None:
        """Nobody is asked after all."""
        counts = self.counts_by_mode[mode]
        self.cells.decided(task, -1)
        counts.decisions -= 1
        counts.explored -= explored
        self._awaited -= Counter(new)
        gone = (one for one in new if one not in self._kept and one not in self._awaited)
        counts.models.difference_update(model for _, model in gone)

    def recall(self, task: str, target: Target, outcome: Outcome) -> None:
        """An outcome of before the start, in the order of their reports. How many decisions there were, and which
        explored, is not known: it counts as one, and what it may have been let explore as used up."""
        self.cells.decided(task)
        self.cells.learn(task, target, outcome.score, outcome.weight)
        for counts in (self.counts, self.watched):
            counts.recall(target, self.cells.count("", target))
