"""The question of a held request: its words, its answers, and how long the menu shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cortex_llm_applet.logic.amounts import exact_usd, usd
from cortex_llm_applet.logic.clock import time_of_day
from cortex_llm_applet.logic.figures import Hold
from cortex_llm_applet.logic.orders import Order, answer
from cortex_llm_applet.texts import N_, _

_LONGEST_NAME = 40  # programs name themselves, in up to 256 characters
_CAPS = {
    "day": N_("Your own cap for today has {left} of {limit} left."),
    "month": N_("Your own cap for this month has {left} of {limit} left."),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """`key` names it to the server of notifications; an answer that allows another amount has another key."""

    key: str
    label: str
    order: Order


@dataclass(frozen=True, slots=True)
class Question:
    """`step`: what to type where nothing can be pressed."""

    hold_id: str
    summary: str
    body: str
    step: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A hold in the menu. `ended`: it is answered or gone, and stays until the menu is closed."""

    hold: Hold
    ended: bool = False


def asked_now(asked: Asked | None, holds: tuple[Hold, ...], *, menu_open: bool) -> Asked | None:
    """The oldest question; while the menu is open it stays the same, so that no answer goes to another one."""
    if asked is None or not menu_open:
        return Asked(holds[0]) if holds else None
    now = next((hold for hold in holds if hold.hold_id == asked.hold.hold_id), None)
    return Asked(now) if now else Asked(asked.hold, ended=True)


def question_of(hold: Hold) -> Question:
    cap = _(_CAPS.get(hold.period, N_("Your own cap has {left} of {limit} left.")))
    left = None if hold.left_nano_usd is None else max(0, hold.left_nano_usd)
    body = (
        cap.format(left=usd(left), limit=usd(hold.limit_nano_usd)),
        _("Without an answer by {time} it is a no.").format(time=time_of_day(hold.until)),
    )
    step = _("Answer in a terminal: cortexctl budget answer today, or once, or refuse")
    return Question(hold.hold_id, summary_of(hold), "\n".join(body), step, tuple(answers_of(hold)))


def summary_of(hold: Hold) -> str:
    amount = usd(hold.may_cost_nano_usd)
    if hold.requests is not None and hold.requests > 1:
        return _("{count} requests may cost {amount}. Go on?").format(count=hold.requests, amount=amount)
    return _("{who} may cost {amount}. Go on?").format(who=_who(hold), amount=amount)


def answers_of(hold: Hold) -> Iterator[Answer]:
    """What is allowed is what the label says, though the question may have grown since."""
    if hold.more_nano_usd is not None:
        more = exact_usd(hold.more_nano_usd)
        label = _("Allow {amount} more today").format(amount=usd(hold.more_nano_usd))
        yield Answer(f"today {more}", label, answer(hold.hold_id, "today", more_usd=more))
    yield Answer("once", _("This once"), answer(hold.hold_id, "once"))
    yield Answer("refuse", _("No"), answer(hold.hold_id, "refuse"))


def _who(hold: Hold) -> str:
    if not hold.app:
        return hold.task_type
    app = hold.app if len(hold.app) <= _LONGEST_NAME else hold.app[: _LONGEST_NAME - 1] + "…"
    return f"{app} ({hold.task_type})"
