"""The best for the task first."""

from __future__ import annotations

from dataclasses import replace

from cortexd.routing.candidates import Candidate, Field


def rank(candidates: list[Candidate], field: Field, _may_explore: bool) -> list[Candidate]:
    """By quality for the task type, who has none last; equals by likely cost, then in the order that they came in."""
    graded = [_with_quality(item) for item in candidates]
    ranked = sorted(graded, key=lambda item: (-(item.score or 0.0), item.likely_cost))
    if ranked and ranked[0].score is not None:
        ranked[0] = replace(ranked[0], reason=f"best for {field.question.task_type}: {ranked[0].reason}")
    return ranked


def _with_quality(candidate: Candidate) -> Candidate:
    quality = candidate.forecast.quality
    reason = "its quality is not known" if quality is None else f"quality {quality:g}"
    return replace(candidate, reason=reason, score=quality)
