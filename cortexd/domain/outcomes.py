"""How well an answer served, 0 to 1, by whose word, and what the words of several count for together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

MOST_WEIGHT = 2.0  # of one request, however many report on it


class Source(StrEnum):
    """Whose word an outcome is; docs/choosing-a-strategy.md says why each weighs what it does. AUTO is the daemon's
    own, and nobody else's."""

    USER = "user"
    TEST = "test"
    PROGRAM = "program"
    JUDGE = "judge"
    AUTO = "auto"


REPORTED = tuple(source for source in Source if source is not Source.AUTO)
"""Those that a caller may name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A score of 0 to 1, and what it weighs in what is learned; 0: nothing."""

    score: float
    weight: float


NOTHING = Outcome(0.0, 0.0)


def combined(outcomes: Iterable[Outcome]) -> Outcome:
    """What the outcomes of one request say together: their weighted mean, with the sum of their weights up to
    MOST_WEIGHT. In any order the same."""
    known = sorted((one.weight, one.score) for one in outcomes if one.weight > 0)
    if not known:
        return NOTHING
    most = known[-1][0]  # parts of it, as the smallest of numbers lose a score
    parts = [(weight / most, score) for weight, score in known]
    score = sum(part * score for part, score in parts) / sum(part for part, _ in parts)
    return Outcome(min(1.0, max(0.0, score)), min(sum(weight for weight, _ in known), MOST_WEIGHT))
