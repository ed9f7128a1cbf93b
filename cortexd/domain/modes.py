"""What holds of strategies and modes of learning that are set for the machine, a task type, a user and a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cortexd.domain.messages import LearnedMode, Strategy

Level = tuple[Strategy | None, LearnedMode | None]
"""What is set at one place; None where nothing is."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a question is decided. `baseline`: the strategy that leads where outcomes do not."""

    mode: LearnedMode
    baseline: Strategy

    @property
    def strategy(self) -> Strategy:
        """Which one decides."""
        return Strategy.LEARNED if self.mode is LearnedMode.APPLY else self.baseline


def way_of(levels: Sequence[Level]) -> Way:
    """What holds where these are set, the nearest to the call first: the nearest mode and the nearest strategy; but a
    strategy that is nearer than `apply` stands above it. The strategy `learned` is `apply`."""
    mode: LearnedMode | None = None
    baseline: Strategy | None = None
    for strategy, own in levels:
        if strategy is Strategy.LEARNED:
            strategy, own = None, LearnedMode.APPLY
        if mode is None and own is not None:
            mode = LearnedMode.OFF if own is LearnedMode.APPLY and baseline is not None else own
        baseline = baseline or strategy
    return Way(mode or LearnedMode.OFF, baseline or Strategy.TABLE)


def clash(strategy: Strategy | None, mode: LearnedMode | None) -> str:
    """Why these two cannot be set at one place, in words; "" where they can."""
    if strategy is None or mode is None:
        return ""
    if strategy is Strategy.LEARNED and mode is not LearnedMode.APPLY:
        return f"strategy learned lets outcomes decide, learned {mode} does not; set one of them alone"
    if strategy is not Strategy.LEARNED and mode is LearnedMode.APPLY:
        return f"learned apply lets outcomes decide, strategy {strategy} does not; set one of them alone"
    return ""
