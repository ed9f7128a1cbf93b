"""What was decided, what ran and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cortexd.domain.targets import Target

MOST_GROUPS = 48  # tasks that are told apart, those with the most requests; the others are judged together
OTHERS = "\n"  # their group's name, which is no task's


@dataclass(frozen=True, slots=True)
class Contender:
    """An arm as it stood at a decision. `cost`: its forecast in nano-USD; None: not known."""

    target: Target
    mean: float
    sigma: float
    penalty: float = 0.0
    cost: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A decision and its end. `ran`: who answered; `baseline`: who leads without learning; `chosen`: whom the learner
    asked or would have; `drawn`: by chance among those worth a look; `cost` in nano-USD; `score` from 0 to 1, None
    where nobody reported, and what it weighs."""

    task: str
    applied: bool
    ran: Target
    baseline: Target
    greedy: Target
    chosen: Target
    arms: tuple[Contender, ...]
    may_explore: bool = True
    drawn: bool = True
    cost: int | None = None
    score: float | None = None
    weight: float = 1.0

    @property
    def explored(self) -> bool:
        return self.chosen != self.greedy

    def models(self) -> set[Target]:
        return {self.ran, self.baseline, *(arm.target for arm in self.arms)}


def grouped(tasks: Iterable[str]) -> dict[str, str]:
    """Each task's group: itself, or the others'."""
    counts: dict[str, int] = {}
    for task in tasks:
        counts[task] = counts.get(task, 0) + 1
    names = sorted(counts, key=lambda task: (-counts[task], task))
    return {task: task if place < MOST_GROUPS else OTHERS for place, task in enumerate(names)}
