"""What GetLearningReport answers. Figures that others' outcomes have a part in are rounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortexd.domain.money import NANO_PER_USD, to_usd

if TYPE_CHECKING:
    from cortexd.routing.learned.foresight import Ahead, Estimate, Figures, ModelRow, Outlook, Report, TaskRow

_SCORE_DIGITS, _SHARE_DIGITS, _USD_DIGITS = 3, 2, 6


def report_shown(report: Report, days: int) -> dict[str, Any]:
    """Costs are of all requests: those that ran, and the `horizon` next ones."""
    return {
        "days": days,
        "verdict": report.verdict,
        "reason": report.reason,
        **_figures(report.ran),
        "feedback_share": _share(report.ran.outcomes, report.ran.requests),
        "applied_requests": report.applied,
        "agreed_requests": report.agreed,
        "agreement_share": _share(report.agreed, report.ran.requests),
        "would_explore": report.would_explore,
        "explored": report.explored,
        "untried_models": report.untried,
        "horizon": report.horizon,
        "worlds": report.worlds,
        "exploring_share": None if report.exploring is None else round(report.exploring, _SHARE_DIGITS),
        "savings_share": None if report.savings is None else _estimate(report.savings, _SHARE_DIGITS),
        **_ahead(report.ahead, report.horizon),
        "tasks": [_task(row, report) for row in report.tasks],
        "models": [_model(row) for row in report.models],
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, _SHARE_DIGITS) if whole else None


def _figures(ran: Figures) -> dict[str, Any]:
    return {
        "requests": ran.requests,
        "outcomes": ran.outcomes,
        "score": None if ran.score is None else round(ran.score, _SCORE_DIGITS),
        "cost_usd": to_usd(ran.cost),
        "cost_nano_usd": ran.cost,
    }


def _ahead(ahead: Ahead | None, requests: float) -> dict[str, Any]:
    if ahead is None:
        return {}
    outlooks = {"apply": ahead.apply, "baseline": ahead.baseline, "gain": ahead.gain}
    return {name: _outlook(outlook, requests) for name, outlook in outlooks.items()}


def _outlook(outlook: Outlook, requests: float) -> dict[str, Any]:
    return {
        "score": _estimate(outlook.score, _SCORE_DIGITS),
        "value": _estimate(outlook.value, _SCORE_DIGITS),
        "cost_usd": _estimate(outlook.cost.times(requests / NANO_PER_USD), _USD_DIGITS),
    }


def _estimate(estimate: Estimate, digits: int) -> dict[str, float]:
    return {name: round(getattr(estimate, name), digits) for name in ("mean", "low", "high")}


def _task(row: TaskRow, report: Report) -> dict[str, Any]:
    """Its costs ahead are those of its part of the next requests."""
    requests = report.horizon * row.ran.requests / report.ran.requests
    return {"task_type": row.task, **_figures(row.ran), **_ahead(row.ahead, requests)}


def _model(row: ModelRow) -> dict[str, Any]:
    share = None if row.applied is None else round(row.applied, _SHARE_DIGITS)
    target = {"provider": row.target.provider, "model": row.target.model or ""}
    return {**target, **_figures(row.ran), "apply_share": share}
