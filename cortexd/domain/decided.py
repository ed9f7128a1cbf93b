"""What the learner decided for one request, to be told apart later from what it would have been without."""

from __future__ import annotations

from dataclasses import dataclass

from cortexd.domain.messages import LearnedMode
from cortexd.domain.targets import Target


@dataclass(frozen=True, slots=True)
class DecidedArm:
    """How one candidate stood: its likely score of 0 to 1, how sure that was, the outcomes behind it, what its cost and
    time took from it, and that cost, in nano-dollars, None where nobody knew it."""

    target: Target
    mean: float
    sigma: float
    count: int
    penalty: float
    cost_nano: int | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """`baseline`: who leads without learning; `greedy`: the best as far as was known; `chosen`: whom the learner asked,
    or would have; `why`: a word for whether it explored."""

    mode: LearnedMode
    baseline: Target
    greedy: Target
    chosen: Target
    why: str
    arms: tuple[DecidedArm, ...]
