"""The page Last route: where the last request went, and where one of its kind would go now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cortex_llm_applet.logic.amounts import MISSING, usd
from cortex_llm_applet.logic.figures import Candidate, Decision, Record, cost_of_record
from cortex_llm_applet.logic.lines import Line, Lines, joined
from cortex_llm_applet.logic.providers import state_in_words
from cortex_llm_applet.logic.words import cost_in_words
from cortex_llm_applet.texts import N_, _

_NANO = 1_000_000_000
_RANKED_BY = {
    "table": N_("In the order of the operator's routing table."),
    "cost": N_("The cheapest first, by likely cost."),
    "latency": N_("The quickest first, by likely time."),
    "quality": N_("The best for such tasks first."),
    "balanced": N_("By cost, time and quality together."),
    "learned": N_("By how such answers served before, less what they are likely to cost."),
}


def request(record: Record | None) -> Lines:
    """The last request that a model answered."""
    if record is None:
        return (Line("none", _("No request yet")),)
    who = joined((record.provider, record.model))
    answered = _("answered by {who}").format(who=who) if who else ""
    return (
        Line("request", record.task_type, joined((answered, _when(record))), cost_in_words(cost_of_record(record))),
    )


def ranked_by(decision: Decision) -> str:
    """What the order is by; the word itself where it is one of a newer service."""
    return _(_RANKED_BY.get(decision.strategy, decision.strategy))


def candidates(decision: Decision, record: Record | None) -> Lines:
    """In the order in which they would be asked."""
    return tuple(_candidates(decision, record))


def left_out(decision: Decision) -> Lines:
    return tuple(
        Line(f"{number}", item.provider, joined((item.model, item.reason)))
        for number, item in enumerate(decision.left_out)
    )


def _candidates(decision: Decision, record: Record | None) -> Iterator[Line]:
    for number, item in enumerate(decision.candidates, start=1):
        state, meaning = state_in_words(item.state)
        was_it = record is not None and (item.provider, item.model) == (record.provider, record.model)
        said = (item.reason, "" if item.state == "ok" else meaning, _("answered the last one") if was_it else "")
        title = f"{number}. {joined((item.provider, item.model))}"
        yield Line(f"{item.provider} {item.model}", title, joined(said), _cost(item), state)


def _cost(item: Candidate) -> str:
    if item.likely_cost_usd is not None:
        return _("about {amount}").format(amount=usd(round(item.likely_cost_usd * _NANO)))
    if item.worst_case_cost_usd is not None:
        return _("at most {amount}").format(amount=usd(round(item.worst_case_cost_usd * _NANO)))
    return MISSING


def _when(record: Record) -> str:
    try:
        return f"{datetime.fromisoformat(record.started_at).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return ""
