"""Cases of the daemon on two builds in turns: today's and a baseline's, so that what the machine does hits both.

A ratio is today's figure over the baseline's in the same turn; of several turns the median counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.figures import Case

Values = Mapping[str, float]
Attempt = Callable[[Case], Values | None]
"""One run of a case on one build; None where it could not measure."""


class UsesDaemon(Protocol):
    """A Lab, as far as is asked here."""

    started_daemon: bool


@dataclass(slots=True)
class Turns:
    """What one case said in each turn, today's build and the baseline's."""

    case: Case
    today: list[Values] = field(default_factory=list)
    baseline: list[Values] = field(default_factory=list)

    def of_today(self, name: str) -> list[float]:
        return [values[name] for values in self.today]

    def of_baseline(self, name: str) -> list[float]:
        return [values[name] for values in self.baseline]

    def ratios(self, name: str) -> list[float]:
        """Turn by turn; those in which the baseline's figure is 0 have none."""
        pairs = zip(self.of_today(name), self.of_baseline(name), strict=False)
        return [mine / theirs for mine, theirs in pairs if theirs]


def take(case: Case, turns: int, today: Attempt, baseline: Attempt | None, lab: UsesDaemon) -> Turns:
    """Run `case` `turns` times on each build, every second time the baseline first.

    Where the case has not started the daemon of today's `lab` there is nothing to compare, and the baseline has no
    turn. The first failure of a build ends its turns.
    """
    taken = Turns(case)
    lab.started_daemon = False
    for turn in range(turns):
        sides = [(today, taken.today), (baseline, taken.baseline)]
        for attempt, values in sides if turn % 2 == 0 else reversed(sides):
            if attempt is not None and len(values) == turn and (attempt is today or lab.started_daemon):
                _keep(values, attempt(case))
    return taken


def _keep(values: list[Values], found: Values | None) -> None:
    if found is not None:
        values.append(found)


def ratio_key(name: str, declared: Iterable[str]) -> str:
    """The key of a figure's ratio to the baseline; some figures are called so already, over something else."""
    key = f"{name}_ratio"
    return f"{name}_ratio_to_baseline" if key in set(declared) else key


def flat(taken: Sequence[Turns], declared: Iterable[str]) -> dict[str, float]:
    """For machines: NAME (the median of today's), NAME_baseline, NAME_ratio, and of several turns NAME_ratio_min and
    _max."""
    known = set(declared)
    values: dict[str, float] = {}
    for turns in taken:
        for figure in turns.case.figures:
            if turns.today:
                values[figure.name] = statistics.median(turns.of_today(figure.name))
            if turns.baseline:
                values[f"{figure.name}_baseline"] = statistics.median(turns.of_baseline(figure.name))
            if ratios := turns.ratios(figure.name):
                key = ratio_key(figure.name, known)
                values[key] = statistics.median(ratios)
                if len(ratios) > 1:
                    values |= {f"{key}_min": min(ratios), f"{key}_max": max(ratios)}
    return {name: round(value, 4) for name, value in values.items()}
