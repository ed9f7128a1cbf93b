"""Budgets, costs and requests in the person's words, the same in the panel's menu and in the window."""

from __future__ import annotations

from cortex_llm_applet.logic.amounts import usd
from cortex_llm_applet.logic.figures import Budget, Candidate, Cost, Record, Request
from cortex_llm_applet.texts import N_, _

LEFT = {
    ("user", "day"): N_("Left of your budget today"),
    ("user", "month"): N_("Left of your budget this month"),
    ("group", "day"): N_("Left of {name}'s budget today"),
    ("group", "month"): N_("Left of {name}'s budget this month"),
    ("machine", "day"): N_("Left of this computer's budget today"),
    ("machine", "month"): N_("Left of this computer's budget this month"),
    ("own", "day"): N_("Left of your own cap today"),
    ("own", "month"): N_("Left of your own cap this month"),
}
LEFT_OF_ANY = N_("Left of a budget")
LEFT_IN_WORDS = N_("{left} of {limit}")


def left_of(budget: Budget) -> str:
    return _(LEFT.get((budget.scope, budget.period), LEFT_OF_ANY)).format(name=budget.name)


def left_in_words(budget: Budget) -> str:
    left = None if budget.remaining_nano_usd is None else max(0, budget.remaining_nano_usd)
    return _(LEFT_IN_WORDS).format(left=usd(left), limit=usd(budget.limit_nano_usd))


def cost_in_words(cost: Cost) -> str:
    amount = usd(cost.cost_nano_usd)
    return amount if cost.cost_known else _("at most {amount}").format(amount=amount)


def asked(item: Candidate | Cost | Record | Request) -> str:
    """Who is or was asked, as short as it goes; empty where nobody is."""
    return item.model or item.provider


def cancel_in_words(request: Request) -> str:
    if who := asked(request):
        return _("Cancel {task} ({model})").format(task=request.task_type, model=who)
    return _("Cancel {task}").format(task=request.task_type)
