"""The report on learning, in words and tables: what ran, what the next requests would give, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import one_line, print_text
from cortexd.domain.money import format_dollars, format_usd

if TYPE_CHECKING:
    from cortexd.client import Interval, LearnedModel, LearnedTask, LearningReport, Outlook

_WELL_TOLD = 0.9  # of the answers reported on
_UNKNOWN = "—"
_AHEAD = (
    Column("likely"),
    Column("score", right=True),
    Column("between", right=True),
    Column("cost", right=True),
    Column("between", right=True),
)
_TASKS = (
    Column("task"),
    Column("requests", right=True),
    Column("reported on", right=True),
    Column("score", right=True),
    Column("learned", right=True),
    Column("between", right=True),
    Column("cost", right=True),
    Column("learned", right=True),
)
_MODELS = (
    Column("provider"),
    Column("model"),
    Column("requests", right=True),
    Column("reported on", right=True),
    Column("score", right=True),
    Column("would get", right=True),
)
_VERDICTS = {
    ("too_little", "few_requests"): (
        "There are too few requests for an estimate. "
        'Set mode = "observe" under [routing.learned], and look again after some hundred requests.'
    ),
    ("too_little", "few_outcomes"): (
        "Too few answers were reported on for an estimate. Say how well answers served: cortexctl outcome ID SCORE."
    ),
    ("open", "untried_models"): (
        "Whether learning would do better is open: nobody has reported on {untried} of the models that it could ask. "
        'To find out, turn it on for one task type: TASK = "apply" under [routing.learned.modes].'
    ),
    ("open", "wide_interval"): (
        "Whether learning does better is open: too little is known for more. Report on more answers, and look again."
    ),
    ("equal", "no_difference"): "Learning would change next to nothing. Leave it as it is.",
    ("gains", "surely_better"): (
        'Learning does better, as good as surely. Have it decide: mode = "apply" under [routing.learned].'
    ),
    ("loses", "surely_worse"): (
        'Learning does worse, as good as surely. Let it only watch: mode = "observe" under [routing.learned].'
    ),
}


def print_learning(report: LearningReport) -> None:
    """The next step comes last."""
    print_text(_ran(report))
    if report.requests:
        print_text(_decided(report))
    if report.apply and report.baseline and report.gain:
        print_text("")
        _print_ahead(report, report.apply, report.baseline, report.gain)
    print_text("")
    print_text(_verdict(report))


def _ran(report: LearningReport) -> str:
    cost = format_usd(report.raw.get("cost_nano_usd", 0))
    text = f"{report.requests} requests in the last {report.days} days that learning watched or decided"
    if not report.requests:
        return f"{text}."
    score = "" if report.score is None else f", {report.score:.2f} on average"
    return f"{text}; they cost {cost}. {report.outcomes} were reported on ({report.feedback_share:.0%}){score}."


def _decided(report: LearningReport) -> str:
    parts = [f"In {report.agreement_share:.0%} the one answered whom learning would choose."]
    if report.would_explore:
        parts.append(f"In {report.would_explore} it would have tried another one to learn.")
    if report.applied_requests:
        parts.append(f"It decided {report.applied_requests} itself, and tried another one in {report.explored}.")
    return " ".join(parts)


def _print_ahead(report: LearningReport, apply: Outlook, baseline: Outlook, gain: Outlook) -> None:
    rows = [
        ("with learning", *_outlook(apply)),
        ("without", *_outlook(baseline)),
        ("difference", *_outlook(gain, signed=True)),
    ]
    print_table(_AHEAD, rows, f"The next {report.horizon} requests, as 95 of 100 such estimates come true:")
    print_text(_details(report))
    if tasks := [row for row in report.tasks if row.apply is not None]:
        print_text("")
        print_table(_TASKS, [_task(row) for row in tasks])
    print_text("")
    print_table(_MODELS, [_model(row) for row in report.models])


def _details(report: LearningReport) -> str:
    parts = []
    if report.exploring_share is not None:
        parts.append(f"About {report.exploring_share:.0%} of them would go to another one to learn.")
    if (savings := report.savings_share) is not None:
        parts.append(f"Saved: {savings.mean:.0%} of the cost ({savings.low:.0%} to {savings.high:.0%}).")
    if report.feedback_share < _WELL_TOLD:
        parts.append("Answers that nobody reported on may be better or worse than the others.")
    return " ".join(parts)


def _verdict(report: LearningReport) -> str:
    words = _VERDICTS.get((report.verdict, report.reason))
    if words is None:
        return one_line(f"The service's verdict: {report.verdict} ({report.reason}).")
    return words.format(untried=report.untried_models)


def _outlook(outlook: Outlook, *, signed: bool = False) -> tuple[str, str, str, str]:
    form = "{:+.2f}" if signed else "{:.2f}"
    return (
        form.format(outlook.score.mean),
        _between(outlook.score, form),
        _usd(outlook.cost_usd.mean),
        f"{_usd(outlook.cost_usd.low)} to {_usd(outlook.cost_usd.high)}",
    )


def _between(interval: Interval, form: str = "{:.2f}") -> str:
    return f"{form.format(interval.low)} to {form.format(interval.high)}"


def _task(row: LearnedTask) -> tuple[str, ...]:
    if row.apply is None or row.baseline is None:
        raise ValueError(row.task_type)
    return (
        row.task_type or "(others)",
        str(row.requests),
        str(row.outcomes),
        _score(row.score),
        f"{row.apply.score.mean:.2f}",
        _between(row.apply.score),
        _usd(row.baseline.cost_usd.mean),
        _usd(row.apply.cost_usd.mean),
    )


def _model(row: LearnedModel) -> tuple[str, ...]:
    share = _UNKNOWN if row.apply_share is None else f"{row.apply_share:.0%}"
    return row.provider, row.model, str(row.requests), str(row.outcomes), _score(row.score), share


def _score(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.2f}"


def _usd(value: float) -> str:
    return format_dollars(value) if value >= 0 else f"-{format_dollars(-value)}"
