"""The likely quickest first, for a prompt and an answer of this size."""

from __future__ import annotations

from dataclasses import replace

from cortexd.routing.candidates import Candidate, Field
from cortexd.routing.exploration import exploring

_UNSEEN = "not observed of late"


def rank(candidates: list[Candidate], field: Field, may_explore: bool) -> list[Candidate]:
    """By the time that the answer is likely to take, of whom nothing is known last. But now and then one of those
    leads, or one that has not answered for long: nobody would ever learn that it is quick."""
    timed = [_with_latency(item) for item in candidates]
    seen = sorted((item for item in timed if item.score is not None), key=lambda item: item.score or 0.0)
    if seen:
        seen[0] = replace(seen[0], reason=f"quickest of late: {seen[0].reason}")
    unseen = [item for item in timed if item.score is None]
    return exploring([*seen, *unseen], field) if may_explore and seen else [*seen, *unseen]


def _with_latency(candidate: Candidate) -> Candidate:
    ms = candidate.forecast.ms
    return replace(candidate, reason=_UNSEEN if ms is None else f"likely {ms:g} ms", score=ms)
