"""The menu as a table of entries with fixed ids: only labels, visibility and readiness ever change, never the layout,
because some panels close an open menu when its layout changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cortex_llm_applet.logic.amounts import MISSING, usd
from cortex_llm_applet.logic.clock import time_of_day
from cortex_llm_applet.logic.figures import Budget, Cost
from cortex_llm_applet.logic.holds import Answer, Asked, answers_of, summary_of
from cortex_llm_applet.logic.limits import left_nano_usd
from cortex_llm_applet.logic.slots import SLOTS, Slot, Slots
from cortex_llm_applet.logic.trouble import trouble_of
from cortex_llm_applet.logic.view import LAST_COSTS, Service, View
from cortex_llm_applet.logic.words import asked, cancel_in_words, cost_in_words, left_in_words, left_of
from cortex_llm_applet.texts import _

TROUBLE, STEP, TODAY, MONTH, BUDGETS = 1, 2, 4, 5, 10
COSTS_HEAD, COSTS, RUNNING_HEAD, RUNNING, MORE, OPEN, QUIT = 21, 30, 41, 50, 61, 71, 73
LEFT, PAUSE, HELD, ANSWERS = 6, 72, 80, 81
BUDGET_ENTRIES, ANSWER_ENTRIES = 8, 3


@dataclass(frozen=True, slots=True)
class Entry:
    """`label` is shown as it is; `separator` has none. What is only read is enabled: panels grey out the rest."""

    id: int
    label: str = ""
    enabled: bool = False
    visible: bool = True
    separator: bool = False


def entries(view: View, slots: Slots, more: int, asked: Asked | None = None) -> tuple[Entry, ...]:
    """`more`: how many running requests have no slot."""
    return (
        *_trouble(view),
        *_asked(asked),
        Entry(TODAY, _("Today: {amount}").format(amount=usd(view.sums.day_nano_usd)), enabled=True),
        Entry(MONTH, _("This month: {amount}").format(amount=usd(view.sums.month_nano_usd)), enabled=True),
        Entry(LEFT, tightest_in_words(view.budgets), enabled=True, visible=len(view.budgets) > 1),
        *_fixed(BUDGETS, BUDGET_ENTRIES, [f"{left_of(budget)}: {left_in_words(budget)}" for budget in view.budgets]),
        Entry(20, separator=True),
        Entry(COSTS_HEAD, _("Last requests") if view.costs else _("No request yet")),
        *_fixed(COSTS, LAST_COSTS, [_cost(cost) for cost in view.costs]),
        Entry(40, separator=True, visible=any(slots)),
        Entry(RUNNING_HEAD, _("Running; a click cancels"), visible=any(slots)),
        *(_running(RUNNING + number, slots[number]) for number in range(SLOTS)),
        Entry(MORE, _("and {count} more").format(count=more), visible=more > 0),
        Entry(70, separator=True),
        _pause(view),
        Entry(OPEN, _("Open the Window"), enabled=True, visible=view.has_window),
        Entry(QUIT, _("Quit"), enabled=True),
    )


def tightest_in_words(budgets: Iterable[Budget]) -> str:
    return _("Left to spend now: {left}").format(left=usd(left_nano_usd(budgets)))


def slot_of(id: int) -> int | None:
    """Which slot an entry is of."""
    return id - RUNNING if RUNNING <= id < RUNNING + SLOTS else None


def answer_of(id: int, asked: Asked | None) -> Answer | None:
    """Which answer an entry gives to the question that is shown."""
    if asked is None or asked.ended:
        return None
    return dict(enumerate(answers_of(asked.hold), ANSWERS)).get(id)


def _trouble(view: View) -> Iterator[Entry]:
    trouble = trouble_of(view)
    yield Entry(TROUBLE, _(trouble.meaning) if trouble else "", enabled=True, visible=trouble is not None)
    yield Entry(STEP, trouble.next_step if trouble else "", enabled=True, visible=trouble is not None)
    yield Entry(3, separator=True, visible=trouble is not None)


def _asked(asked: Asked | None) -> Iterator[Entry]:
    there = asked is not None
    answers = list(answers_of(asked.hold)) if asked else []
    text = summary_of(asked.hold) if asked else ""
    ended = asked is not None and asked.ended
    yield Entry(HELD, _("Ended: {task}").format(task=text) if ended else text, enabled=True, visible=there)
    for number in range(ANSWER_ENTRIES):
        given = number < len(answers)
        yield Entry(ANSWERS + number, answers[number].label if given else "", enabled=not ended, visible=given)
    yield Entry(ANSWERS + ANSWER_ENTRIES, separator=True, visible=there)


def _pause(view: View) -> Entry:
    """Only the router can keep to it, so that it has to be there."""
    label = _("Pause my spending for an hour")
    if view.pause:
        label = _("End the pause (until {time})").format(time=time_of_day(view.pause.resets_at, view.today))
    return Entry(PAUSE, label, enabled=view.service is Service.THERE and not view.refused)


def _fixed(first: int, count: int, labels: list[str]) -> Iterator[Entry]:
    for number in range(count):
        given = number < len(labels)
        yield Entry(first + number, labels[number] if given else "", enabled=True, visible=given)


def _cost(cost: Cost) -> str:
    return f"{cost.task_type}   {asked(cost) or MISSING}   {cost_in_words(cost)}"


def _running(id: int, slot: Slot | None) -> Entry:
    if slot is None:
        return Entry(id, visible=False)
    request = slot.request
    if slot.ended:
        return Entry(id, _("Ended: {task}").format(task=request.task_type))
    return Entry(id, cancel_in_words(request), enabled=True)
