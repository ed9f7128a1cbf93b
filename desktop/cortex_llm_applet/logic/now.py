"""The page Now: what is spent and left, what runs, what was asked last."""

from __future__ import annotations

from cortex_llm_applet.logic.amounts import MISSING, usd
from cortex_llm_applet.logic.figures import Budget, Cost, Request
from cortex_llm_applet.logic.lines import Line, Lines, joined
from cortex_llm_applet.logic.trouble import State
from cortex_llm_applet.logic.view import View
from cortex_llm_applet.logic.words import asked, cancel_in_words, cost_in_words, left_in_words, left_of
from cortex_llm_applet.texts import N_, _

MOST_RUNNING = 20
_STATES = {
    "queued": N_("waits for a place"),
    "authorizing": N_("waits for permission"),
    "held": N_("waits for your answer"),
    "running": N_("is being answered"),
    "streaming": N_("is being answered"),
}
_SEVERITIES = {"ok": State.OK, "warning": State.WARN, "exceeded": State.OVER}


def spent(view: View) -> Lines:
    """Of each budget there is a line."""
    return (
        Line("day", _("Spent today"), value=usd(view.sums.day_nano_usd)),
        Line("month", _("Spent this month"), value=usd(view.sums.month_nano_usd)),
        *(_budget(budget) for budget in view.budgets),
    )


def running(view: View) -> Lines:
    """The oldest first; the rest is counted."""
    shown = [_running(request) for request in view.running[:MOST_RUNNING]]
    more = len(view.running) - len(shown)
    if more > 0:
        shown.append(Line("more", _("and {count} more").format(count=more)))
    return tuple(shown) or (Line("none", _("Nothing runs now")),)


def last(view: View) -> Lines:
    """The newest first."""
    return tuple(map(_cost, view.costs)) or (Line("none", _("No request yet")),)


def _budget(budget: Budget) -> Line:
    key = f"{budget.scope} {budget.name} {budget.period}"
    return Line(key, left_of(budget), value=left_in_words(budget), state=_SEVERITIES.get(budget.severity))


def _running(request: Request) -> Line:
    state = _(_STATES.get(request.state, N_("is under way")))
    return Line(
        request.request_id,
        request.task_type,
        joined((asked(request), state)),
        action=_("Cancel"),
        action_spoken=cancel_in_words(request),
    )


def _cost(cost: Cost) -> Line:
    return Line(cost.request_id, cost.task_type, asked(cost) or MISSING, cost_in_words(cost))
