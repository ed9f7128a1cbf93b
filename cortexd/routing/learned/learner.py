"""What this daemon has learned from outcomes, and the decisions that it makes by it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cortexd.domain.learned import CountKey, Learned
from cortexd.domain.messages import LearnedMode
from cortexd.domain.outcomes import Outcome
from cortexd.domain.targets import Target
from cortexd.routing.learned import counting
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


@dataclass(frozen=True, slots=True)
class Counted:
    """What a decision counts for: by how much it raises what is kept; and what to do once that is, or will not be."""

    more: Mapping[CountKey, int]
    kept: Callable[[], None]
    given_back: Callable[[], None]


NOT_COUNTED = Counted({}, lambda: None, lambda: None)


class Learner:
    """Cells and counts of the machine. Equal ones make equal decisions where `seed`, the machine's, is equal too."""

    def __init__(self, cells: Cells | None = None, counts: Counts | None = None, seed: int | None = None) -> None:
        self.cells = cells or Cells()
        self.counts = counts or Counts()
        self._seed = random.getrandbits(32) if seed is None else seed
        self._kept: set[Target] = set()  # of those to choose among, in the ledger
        self._awaited: Counter[Target] = Counter()  # how many decisions may bring one there

    @property
    def counts_by_mode(self) -> Mapping[LearnedMode, Counts]:
        return {LearnedMode.APPLY: self.counts}

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
        self.counts = counting.counts_of(learned, LearnedMode.APPLY)
        self._seed = learned.counts.get((counting.SEED, ""), self._seed)
        self._kept = set(self.counts.models)

    def decide(self, task: str, arms: Sequence[Arm], rules: Rules, seed: int, *, may_explore: bool) -> Choice:
        """As Policy.decide; `seed`: the request's."""
        policy = Policy(self.cells, self.counts, rules)
        return policy.decide(task, arms, self._seed ^ seed, may_explore=may_explore)

    def scores(self, task: str, arms: Sequence[Arm], rules: Rules) -> tuple[Score, ...]:
        """What is known of each."""
        return Policy(self.cells, self.counts, rules).scores(task, arms)

    def took(self, task: str, standings: Sequence[Standing]) -> Counted:
        """A decision for the first of these is acted on; none: nobody decided. What it counts for is to be kept with
        its request, or to be given back."""
        if not standings:
            return NOT_COUNTED
        models, explored = tuple(standing.score.target for standing in standings), standings[0].explored
        self.cells.decided(task)
        self.counts.count(models, explored=explored)
        new = tuple(model for model in models if model not in self._kept)
        self._awaited.update(new)
        more = counting.of_decision(task, LearnedMode.APPLY, new, explored=explored)
        return Counted(more, lambda: self._keep(new), lambda: self._give_back(task, new, explored=explored))

    def _keep(self, new: Sequence[Target]) -> None:
        self._kept.update(new)
        self._awaited -= Counter(new)

    def _give_back(self, task: str, new: Sequence[Target], *, explored: bool) -> None:
        """Nobody is asked after all."""
        self.cells.decided(task, -1)
        self.counts.decisions -= 1
        self.counts.explored -= explored
        self._awaited -= Counter(new)
        self.counts.models.difference_update(
            model for model in new if model not in self._kept and model not in self._awaited
        )

    def recall(self, task: str, target: Target, outcome: Outcome) -> None:
        """An outcome of before the start, in the order of their reports. How many decisions there were, and which
        explored, is not known: it counts as one, and what it may have been let explore as used up."""
        self.cells.decided(task)
        self.cells.learn(task, target, outcome.score, outcome.weight)
        self.counts.recall(target, self.cells.count("", target))
