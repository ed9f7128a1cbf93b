"""What outcomes have shown, as it is kept: a cell for each task and model, and how many decisions there were."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cortexd.domain.outcomes import Outcome
from cortexd.domain.targets import Target, covered

Key = tuple[str, Target]
"""A task and a model of a provider; the task is "" for all of them together."""
CountKey = tuple[str, str]
"""What is counted, and of which."""
TASK = "task"
"""The name of the count of a task's decisions, "" for all."""


@dataclass(slots=True)
class Cell:
    """Sums of weighted scores and of what they lacked to 1; `count`: outcomes ever, faded ones too; `seen`: how many
    decisions the task had had at the last one."""

    good: float = 0.0
    bad: float = 0.0
    count: int = 0
    seen: int = 0

    def add(self, score: float, weight: float, memory: float) -> None:
        """One more, where all together weigh no more than `memory`."""
        self.good += score * weight
        self.bad += (1 - score) * weight
        self.count += 1
        self._bound(memory)

    def take_in(self, other: Cell, left: float, memory: float) -> None:
        """The evidence of another one beside its own, as much as is `left` of it."""
        self.good += other.good * left
        self.bad += other.bad * left
        self.count += other.count
        self._bound(memory)

    def take_out(self, part: Cell) -> None:
        """All but what a part of it has shown."""
        self.good = max(0.0, self.good - part.good)
        self.bad = max(0.0, self.bad - part.bad)
        self.count = max(0, self.count - part.count)

    def _bound(self, memory: float) -> None:
        total = self.good + self.bad
        if total > memory:
            self.good *= memory / total
            self.bad *= memory / total

    def fade(self, left: float) -> None:
        self.good *= left
        self.bad *= left

    def replace(self, before: Outcome, now: Outcome) -> None:
        """Another outcome in place of an earlier one; what has faded of that one stays."""
        good, bad = now.score * now.weight, (1 - now.score) * now.weight
        self.good = max(0.0, self.good + good - before.score * before.weight)
        self.bad = max(0.0, self.bad + bad - (1 - before.score) * before.weight)


@dataclass(frozen=True, slots=True)
class Learned:
    """`cells`: the one that was changed last comes last. `counts`: as the learner has them. `begun`: there is some, if
    only the word that nothing was learned."""

    cells: Mapping[Key, Cell] = field(default_factory=dict)
    counts: Mapping[CountKey, int] = field(default_factory=dict)
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """Of one task type, "" for all, and of one model, or of all that a provider has; None for all."""

    task: str = ""
    model: Target | None = None

    @property
    def whole(self) -> bool:
        return not self.task and self.model is None

    def names(self, target: Target) -> bool:
        return self.model is None or covered(target, (self.model,))


@dataclass(frozen=True, slots=True)
class Reported:
    """How well a request went by the word of all who said so, and whom that says something of. `before`: the same until
    then. `answered`: somebody did."""

    task_type: str
    provider: str
    model: str
    now: Outcome
    before: Outcome
    answered: bool

    @property
    def target(self) -> Target:
        return Target(self.provider, self.model)

    @property
    def keys(self) -> tuple[Key, Key]:
        """Of the cells that it changes."""
        return ("", self.target), (self.task_type, self.target)


Teach = Callable[[Reported, Mapping[Key, Cell], Mapping[str, int] | None], Mapping[Key, Cell]]
"""Takes an outcome, its cells as they are, where there are any, and how many decisions each task has had (None: as many
as the teacher knows), and gives the cells that it changes."""
