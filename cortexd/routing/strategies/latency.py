"""The quickest of late first."""

from __future__ import annotations

from dataclasses import replace

from cortexd.routing.candidates import Candidate, Field
from cortexd.routing.health import State

_UNSEEN = "not observed of late"


def rank(candidates: list[Candidate], field: Field, may_explore: bool) -> list[Candidate]:
    """By mean time to answer, whom nobody has observed last; but now and then one of those leads,
    or nobody would ever learn that it is quick."""
    timed = [_with_latency(item, field.observed.latency_ms(item.provider, item.model)) for item in candidates]
    seen = sorted((item for item in timed if item.score is not None), key=lambda item: item.score or 0.0)
    unseen = [item for item in timed if item.score is None]
    if seen:
        seen[0] = replace(seen[0], reason=f"quickest of late: {seen[0].reason}")
    untried = next((item for item in unseen if item.state is not State.OPEN), None)
    if may_explore and seen and untried is not None and field.observed.explores():
        unseen.remove(untried)
        return [replace(untried, reason=f"{_UNSEEN}: asked to learn how quick it is"), *seen, *unseen]
    return [*seen, *unseen]


def _with_latency(candidate: Candidate, latency_ms: float | None) -> Candidate:
    reason = _UNSEEN if latency_ms is None else f"{latency_ms:.0f} ms on average"
    return replace(candidate, reason=reason, score=latency_ms)
