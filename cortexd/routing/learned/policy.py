"""Whom to ask by what was learned: usually the best as far as is known, now and then another that may be better.

A decision changes nothing: whoever acts on it counts it (`Counts.took`), so that a dry run does not.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cortexd.domain.targets import Target
from cortexd.routing.learned.cells import Beta, Cells

# A candidate is worth a look while its mean and this many sigmas reach the best but for a margin. A bound on the mean
# alone locked a good model out for ever after a few bad answers.
_SIGMAS = 1.64
_MARGIN = 0.25
EXPLORED, PINNED = "explored", "pinned"
PACE = 0.5  # of the looks that a draw asks for: what may be explored is spread over more tasks


@dataclass(frozen=True, slots=True)
class Rules:
    """`cost_weight`: what the dearest candidate's cost takes from a score of 0 to 1; `latency_weight`: what the
    slowest one's time does. `explore_share` of all decisions may explore, and `explore_first` times the number of
    models beside them."""

    cost_weight: float = 0.1
    latency_weight: float = 0.0
    explore_share: float = 0.05
    explore_first: int = 20

    def penalty(self, cost: float, latency: float) -> float:
        """`cost` and `latency`: as parts of the dearest's and the slowest's."""
        return self.cost_weight * cost + self.latency_weight * latency


@dataclass(slots=True)
class Counts:
    """Decisions that were acted on, how many of them explored, and the models that there were to choose among.
    `recalled`: outcomes of models before the start, each of which takes one from its first looks."""

    decisions: int = 0
    explored: int = 0
    models: set[Target] = field(default_factory=set)
    recalled: dict[Target, int] = field(default_factory=dict)

    def may_explore(self, rules: Rules) -> bool:
        return self.explored + 1 <= self._most(rules)

    def left(self, rules: Rules) -> int:
        """How many decisions may explore from now on, if no others come between them."""
        return max(0, math.floor(self._most(rules) - self.explored))

    def _most(self, rules: Rules) -> float:
        """How many decisions may have explored, the next one too."""
        if not rules.explore_share:
            return 0.0
        first = rules.explore_first * len(self.models)
        if self.recalled:
            first -= sum(min(rules.explore_first, self.recalled.get(model, 0)) for model in self.models)
        return rules.explore_share * (self.decisions + 1) + first

    def recall(self, model: Target, outcomes: int) -> None:
        """There were so many outcomes of that model before the start."""
        self.recalled[model] = outcomes

    def count(self, models: Iterable[Target], *, explored: bool) -> None:
        """A decision among `models` was acted on."""
        self.decisions += 1
        self.explored += explored
        self.models.update(models)


@dataclass(slots=True)  # not frozen: a dozen are made at each decision, in half the time
class Arm:
    """One who could be asked. `penalty`: what its cost and time take from its score (Rules.penalty). `closed`: a word
    for why it may not be asked this time, "" where it may."""

    target: Target
    penalty: float = 0.0
    quality: float | None = None
    closed: str = ""


@dataclass(slots=True)  # not frozen: a dozen are made at each decision, in half the time
class Score:
    """What is known of one arm: its likely score of 0 to 1 and how sure that is, how many outcomes said so, and what
    is left of the score after the penalty."""

    target: Target
    mean: float
    sigma: float
    count: int
    penalty: float

    @property
    def value(self) -> float:
        return self.mean - self.penalty


@dataclass(frozen=True, slots=True)
class Choice:
    """`scores` in the order of the arms; `greedy` is the best as far as is known, `chosen` who shall be asked; `why`:
    a word for whether it explored: `best`, `explored`, `spent`, or what kept it from that."""

    scores: tuple[Score, ...]
    greedy: Target
    chosen: Target
    why: str

    @property
    def explored(self) -> bool:
        return self.why == EXPLORED


class Policy:
    """Decides by `cells`. Equal cells, counts and seeds make equal choices."""

    def __init__(self, cells: Cells, counts: Counts, rules: Rules) -> None:
        self.cells = cells
        self.counts = counts
        self.rules = rules

    def decide(self, task: str, arms: Sequence[Arm], seed: int, *, barred: str = "") -> Choice:
        """Whom of `arms` (at least one) to ask for `task`. `barred`: a word for why only the best may be, "" where
        another may."""
        betas = self._betas(task, arms)
        scores = self._scored(arms, betas)
        best = max(_open(arms), key=lambda index: scores[index].value)
        greedy = scores[best].target
        if barred or not self.counts.may_explore(self.rules):
            return Choice(scores, greedy, greedy, barred or "spent")
        drawn = _drawn(scores, best, random.Random(seed))  # noqa: S311 - no secret
        if drawn == best or arms[drawn].closed:
            return Choice(scores, greedy, greedy, arms[drawn].closed or "best")
        return Choice(scores, greedy, scores[drawn].target, EXPLORED)

    def took(self, task: str, choice: Choice) -> None:
        """`choice` was acted on."""
        self.cells.decided(task)
        self.counts.count((score.target for score in choice.scores), explored=choice.explored)

    def scores(self, task: str, arms: Sequence[Arm]) -> tuple[Score, ...]:
        """What is known of each of `arms`."""
        return self._scored(arms, self._betas(task, arms))

    def _betas(self, task: str, arms: Sequence[Arm]) -> list[Beta]:
        return [self.cells.posterior(task, arm.target, arm.quality) for arm in arms]

    def _scored(self, arms: Sequence[Arm], betas: Sequence[Beta]) -> tuple[Score, ...]:
        return tuple(
            Score(arm.target, beta.mean, beta.sigma, beta.count, arm.penalty)
            for arm, beta in zip(arms, betas, strict=True)
        )


def _open(arms: Sequence[Arm]) -> Sequence[int]:
    """Those that may be asked, or all where none may."""
    return [index for index, arm in enumerate(arms) if not arm.closed] or range(len(arms))


def _drawn(scores: tuple[Score, ...], best: int, chance: random.Random) -> int:
    """The best by a draw from each that is worth a look (Thompson), at the pace of exploration.

    A draw is normal: one of a Beta distribution takes four times as long, and chooses no better."""
    if chance.random() >= PACE:
        return best
    floor = scores[best].value - _MARGIN
    drawn, most = best, -math.inf
    for index, score in enumerate(scores):
        if index == best or score.value + _SIGMAS * score.sigma >= floor:
            value = chance.gauss(score.mean, score.sigma) - score.penalty
            if value > most:
                drawn, most = index, value
    return drawn
