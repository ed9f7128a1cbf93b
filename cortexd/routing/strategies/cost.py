"""The likely cheapest first."""

from __future__ import annotations

from dataclasses import replace

from cortexd.domain.money import format_usd, to_usd
from cortexd.routing.candidates import Candidate, Field


def rank(candidates: list[Candidate], _field: Field, _may_explore: bool) -> list[Candidate]:
    """By effective cost, an unknown price last; equals in the order that they came in."""
    ranked = sorted(candidates, key=lambda item: item.likely_cost)
    return [_with_cost(item, first=place == 0) for place, item in enumerate(ranked)]


def _with_cost(candidate: Candidate, *, first: bool) -> Candidate:
    nano = candidate.forecast.cost_nano
    if nano is None:
        return replace(candidate, reason="its price is not known")
    words = f"likely {format_usd(nano)}"
    return replace(candidate, reason=f"cheapest: {words}" if first else words, score=to_usd(nano))
