"""Figures that a benchmark promises, and the check that it kept the promise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.lab import Lab

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `name` is its JSON key; `at_most` or `at_least` is its target, if it has one.

    `of_baseline`: at most this share of a baseline's figure is wanted; said of commit 088e860, for --baseline.
    """

    name: str
    unit: str
    meaning: str
    at_most: float | None = None
    at_least: float | None = None
    of_baseline: float | None = None

    @property
    def target(self) -> float | None:
        return self.at_most if self.at_most is not None else self.at_least

    def met_by(self, value: float) -> bool | None:
        """True or false against the target, None without one."""
        if self.at_most is not None:
            return value <= self.at_most
        return value >= self.at_least if self.at_least is not None else None


@dataclass(frozen=True, slots=True)
class Case:
    """A benchmark: `run` measures with what the lab has and returns a value for each of `figures`.

    `needs_peers`: it is left out unless --peers has brought the peers' environment.
    """

    name: str
    summary: str
    figures: tuple[Figure, ...]
    run: Callable[[Lab], Values]
    needs_peers: bool = False


class BrokenPromise(Exception):
    """A case returned other figures than it declares."""


def keep_promise(case: Case, values: Values) -> dict[str, float]:
    """`values` in the declared order. Raises BrokenPromise when one is missing or undeclared."""
    declared = [figure.name for figure in case.figures]
    missing = [name for name in declared if name not in values]
    undeclared = [name for name in values if name not in declared]
    if missing or undeclared:
        raise BrokenPromise(f"case {case.name}: missing {missing}, undeclared {undeclared}")
    return {name: round(float(values[name]), 4) for name in declared}


def refuse_doubles(cases: Iterable[Case]) -> None:
    """Raise BrokenPromise where two cases declare a figure of the same name."""
    owner: dict[str, str] = {}
    for case in cases:
        for figure in case.figures:
            if figure.name in owner:
                raise BrokenPromise(f"{figure.name} is declared by {owner[figure.name]} and by {case.name}")
            owner[figure.name] = case.name
