"""What learning from outcomes would give, as frozen structures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from cortexd.client.results import Row, filled, rows_of


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and where it will lie in 95 of 100 cases."""

    mean: float = 0.0
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """Of the next requests: their mean score, 0 to 1; `value`: the score less what cost and time take from it; what
    they cost together."""

    score: Interval
    value: Interval
    cost_usd: Interval

    @classmethod
    def of(cls, row: Row | None) -> Self | None:
        return None if row is None else cls(*(filled(Interval, row[name]) for name in ("score", "value", "cost_usd")))


@dataclass(frozen=True, slots=True)
class LearnedModel:
    """`apply_share`: of the next requests, would be asked by apply; None where too little is known."""

    provider: str = ""
    model: str = ""
    requests: int = 0
    outcomes: int = 0
    score: float | None = None
    cost_usd: float = 0.0
    cost_nano_usd: int = 0
    apply_share: float | None = None
    raw: Row = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class LearnedTask:
    """`task_type` is empty for all the rarer ones together. The outlooks are None where too little is known."""

    task_type: str
    requests: int
    outcomes: int
    score: float | None
    cost_usd: float
    apply: Outlook | None
    baseline: Outlook | None
    gain: Outlook | None
    raw: Row = field(repr=False)

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            task_type=row.get("task_type", ""),
            requests=row.get("requests", 0),
            outcomes=row.get("outcomes", 0),
            score=row.get("score"),
            cost_usd=row.get("cost_usd", 0.0),
            apply=Outlook.of(row.get("apply")),
            baseline=Outlook.of(row.get("baseline")),
            gain=Outlook.of(row.get("gain")),
            raw=row,
        )


@dataclass(frozen=True, slots=True)
class LearningReport:
    """What ran in `days`, and what the `horizon` next requests would give with apply and without (`baseline`). `gain`:
    apply over the baseline. Without `verdict` too_little the outlooks and `savings_share` are there."""

    days: int
    verdict: str
    reason: str
    requests: int
    outcomes: int
    score: float | None
    cost_usd: float
    feedback_share: float
    agreement_share: float
    applied_requests: int
    would_explore: int
    explored: int
    untried_models: int
    horizon: int
    exploring_share: float | None
    apply: Outlook | None
    baseline: Outlook | None
    gain: Outlook | None
    savings_share: Interval | None
    tasks: list[LearnedTask]
    models: list[LearnedModel]
    raw: Row = field(repr=False)

    @classmethod
    def of(cls, row: Row) -> Self:
        savings = row.get("savings_share")
        return cls(
            days=row.get("days", 0),
            verdict=row.get("verdict", ""),
            reason=row.get("reason", ""),
            requests=row.get("requests", 0),
            outcomes=row.get("outcomes", 0),
            score=row.get("score"),
            cost_usd=row.get("cost_usd", 0.0),
            feedback_share=row.get("feedback_share", 0.0),
            agreement_share=row.get("agreement_share", 0.0),
            applied_requests=row.get("applied_requests", 0),
            would_explore=row.get("would_explore", 0),
            explored=row.get("explored", 0),
            untried_models=row.get("untried_models", 0),
            horizon=row.get("horizon", 0),
            exploring_share=row.get("exploring_share"),
            apply=Outlook.of(row.get("apply")),
            baseline=Outlook.of(row.get("baseline")),
            gain=Outlook.of(row.get("gain")),
            savings_share=None if savings is None else filled(Interval, savings),
            tasks=[LearnedTask.of(item) for item in row.get("tasks", ())],
            models=rows_of(LearnedModel, row.get("models", ())),
            raw=row,
        )
