"""The order in which candidates are tried, by cost or by latency, each with the words that explain its rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from cortexd.domain.messages import Strategy
from cortexd.domain.money import format_usd, to_usd
from cortexd.routing.candidates import Candidate
from cortexd.routing.health import Health, State

# candidates, health, and whether another one than the best may lead -> the candidates in order
Ranking = Callable[[list[Candidate], Health, bool], list[Candidate]]
_UNSEEN = "not observed of late"


def by_table(candidates: list[Candidate], _health: Health, _may_explore: bool) -> list[Candidate]:
    return candidates


def by_cost(candidates: list[Candidate], _health: Health, _may_explore: bool) -> list[Candidate]:
    """The likely cheapest first, an unknown price last; equals in the order that they came in."""
    ranked = sorted(candidates, key=lambda item: (item.likely_nano is None, item.likely_nano or 0))
    return [_with_cost(item, first=rank == 0) for rank, item in enumerate(ranked)]


def by_latency(candidates: list[Candidate], health: Health, may_explore: bool) -> list[Candidate]:
    """The quickest of late first, whom nobody has observed last; but now and then one of those leads,
    or nobody would ever learn that it is quick."""
    timed = [_with_latency(item, health.latency_ms(item.provider)) for item in candidates]
    seen = sorted((item for item in timed if item.score is not None), key=lambda item: item.score or 0.0)
    unseen = [item for item in timed if item.score is None]
    if seen:
        seen[0] = replace(seen[0], reason=f"quickest of late: {seen[0].reason}")
    untried = next((item for item in unseen if item.state is not State.OPEN), None)
    if may_explore and seen and untried is not None and health.explores():
        unseen.remove(untried)
        return [replace(untried, reason=f"{_UNSEEN}: asked to learn how quick it is"), *seen, *unseen]
    return [*seen, *unseen]


def _with_cost(candidate: Candidate, *, first: bool) -> Candidate:
    if candidate.likely_nano is None:
        return replace(candidate, reason="its price is not known")
    words = f"likely {format_usd(candidate.likely_nano)}"
    score = to_usd(candidate.likely_nano)
    return replace(candidate, reason=f"cheapest: {words}" if first else words, score=score)


def _with_latency(candidate: Candidate, latency_ms: float | None) -> Candidate:
    reason = _UNSEEN if latency_ms is None else f"{latency_ms:.0f} ms on average"
    return replace(candidate, reason=reason, score=latency_ms)


RANKINGS: Mapping[Strategy, Ranking] = MappingProxyType(
    {Strategy.TABLE: by_table, Strategy.COST: by_cost, Strategy.LATENCY: by_latency}
)
