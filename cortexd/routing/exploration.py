"""Now and then somebody else is asked first, so that how quick it is becomes known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cortexd.routing.candidates import Candidate, Field
from cortexd.routing.health import State


def exploring(ranked: Sequence[Candidate], field: Field) -> list[Candidate]:
    """The same, or, for every twentieth request that could learn, with one first that is well and of which nothing is
    known of late: in the order of the ranking, those whose time nobody knows at all before the others."""
    to_learn = [item for item in ranked[1:] if _tells_something(item, field)]
    if not to_learn or not field.observed.explores():
        return list(ranked)
    chosen = min(to_learn, key=lambda item: item.forecast.ms is not None)
    led = replace(chosen, reason="not observed of late: asked to learn how quick it is")
    return [led, *(item for item in ranked if item is not chosen)]


def _tells_something(candidate: Candidate, field: Field) -> bool:
    known = field.observed.timed_of_late(candidate.provider, candidate.model)
    return candidate.state is State.OK and not known
