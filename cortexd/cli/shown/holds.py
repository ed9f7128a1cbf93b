"""Requests that wait for a person's word, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cortexd.domain.money import format_usd

if TYPE_CHECKING:
    from cortexd.client import Hold, HoldEnded

HOW_TO_ANSWER = "cortexctl budget answer today|once|refuse"
_PERIODS = {"day": "today", "month": "this month"}
_ENDED = {
    "today": "more is allowed; what was held tries again",
    "once": "what was held may go on, this once",
    "refuse": "what was held is refused",
    "none": "nobody answered in time; what was held is refused",
    "gone": "what was held has ended",
}


def what_waits(hold: Hold) -> str:
    """Of whom, and what it may cost."""
    return f"{_who(hold)} may cost up to {format_usd(hold.may_cost_nano_usd)}"


def question(hold: Hold) -> str:
    """Two sentences: what waits, and why."""
    left, limit = format_usd(hold.left_nano_usd), format_usd(hold.limit_nano_usd)
    when = _PERIODS.get(hold.period, hold.period)
    return f"held: {what_waits(hold)}. You have {left} left of the {limit} that you allow yourself {when}."


def ended(end: HoldEnded) -> str:
    return _ENDED.get(end.answer, f"what was held has ended: {end.answer}")


def _who(hold: Hold) -> str:
    app = f"{hold.app}, " if hold.app else ""
    first = f"{hold.task_type} ({app}{hold.provider} {hold.model})"
    return first if hold.requests == 1 else f"{hold.requests} requests, the first {first}, together"
