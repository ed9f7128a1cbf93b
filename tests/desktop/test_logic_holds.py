"""Questions about held requests, the pause and the tightest limit in the applet, without a bus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pytest
from cortex_llm_applet.logic import menu
from cortex_llm_applet.logic.amounts import exact_usd
from cortex_llm_applet.logic.clock import seconds_until, time_of_day
from cortex_llm_applet.logic.figures import Budget, Hold, Sums
from cortex_llm_applet.logic.holds import Asked, asked_now, question_of
from cortex_llm_applet.logic.limits import left_nano_usd, without_pause
from cortex_llm_applet.logic.model import Model
from cortex_llm_applet.logic.orders import PAUSE_S, Order
from cortex_llm_applet.logic.picture import picture_of
from cortex_llm_applet.logic.slots import empty
from cortex_llm_applet.logic.trouble import State
from cortex_llm_applet.logic.view import Service, View
from hypothesis import given
from hypothesis import strategies as st

from cortexd.domain.money import from_usd

TODAY = date(2026, 11, 29)
ROW = {
    "hold_id": "a",
    "period": "day",
    "requests": 1,
    "until": datetime(2026, 11, 29, 14, 5).astimezone().isoformat(),
    "task_type": "user_chat",
    "app": "editor",
    "may_cost_nano_usd": 50_000_000,
    "limit_nano_usd": 2_000_000_000,
    "left_nano_usd": 10_000_000,
    "more_nano_usd": 500_000_000,
}
WHO = "editor (user_chat)"
PAUSE = {"scope": "pause", "period": "day", "severity": "exceeded", "remaining_nano_usd": 0, "limit_nano_usd": 0}


def model(today: date = TODAY) -> Model:
    made = Model(lambda: 0.0, lambda: today, lambda _notice: None)
    made.router_there()
    made.snapshot({"day_nano_usd": 0, "month_nano_usd": 0})
    return made


def labels(shown: Model, ids: Iterable[int]) -> list[str]:
    entries = {entry.id: entry for entry in shown.picture().menu}
    return [entries[id].label for id in ids if entries[id].visible]


def answers(shown: Model) -> list[Order | None]:
    return [shown.order_of(id) for id in range(menu.ANSWERS, menu.ANSWERS + menu.ANSWER_ENTRIES)]


class TestQuestion:
    def test_in_words(self) -> None:
        """Who asks, what it may cost, how the cap stands, when silence is a no, and what to type without buttons."""
        shown = model()
        shown.held(ROW)
        question = shown.question()
        assert question is not None
        assert question.summary == "editor (user_chat) may cost $0.0500. Go on?"
        assert question.body == (
            "Your own cap for today has $0.0100 of $2.00 left.\nWithout an answer by 14:05 it is a no."
        )
        assert "cortexctl budget answer" in question.step
        assert [answer.label for answer in question.answers] == ["Allow $0.5000 more today", "This once", "No"]

    @pytest.mark.parametrize(
        ("row", "summary", "begins"),
        [
            ({"requests": 7}, "7 requests may cost $0.0500. Go on?", "Your own cap for today"),
            ({"app": "x" * 256}, f"{'x' * 39}… (user_chat) may cost $0.0500. Go on?", "Your own cap for today"),
            ({"app": "", "period": "month"}, "user_chat may cost $0.0500. Go on?", "Your own cap for this month"),
            ({"period": "week", "left_nano_usd": -5}, f"{WHO} may cost $0.0500. Go on?", "Your own cap has $0.00"),
            ({"may_cost_nano_usd": "x", "until": "soon"}, f"{WHO} may cost —. Go on?", "Your own cap for today"),
        ],
    )
    def test_other_words(self, row: dict[str, object], summary: str, begins: str) -> None:
        """Many requests, long names, other periods; what is not known is a dash."""
        shown = model()
        shown.held({**ROW, **row})
        question = shown.question()
        assert question is not None
        assert question.summary == summary
        assert question.body.startswith(begins)

    def test_answers_are_orders(self) -> None:
        """Each allows what its label says, to the nano-dollar."""
        shown = model()
        shown.held({**ROW, "more_nano_usd": 123_456_789})
        assert answers(shown) == [
            Order("AnswerHold", ("a", "today"), {"more_usd": "0.123456789"}),
            Order("AnswerHold", ("a", "once"), {}),
            Order("AnswerHold", ("a", "refuse"), {}),
        ]

    def test_another_amount_has_another_key(self) -> None:
        """A press of the button that was on the screen a moment ago is about its own amount."""
        before, after = (question_of(Hold("a", more_nano_usd=nano)).answers[0].key for nano in (1, 2))
        assert before != after

    def test_amount_that_nobody_told(self) -> None:
        """Is not offered."""
        assert [answer.key for answer in question_of(Hold("a")).answers] == ["once", "refuse"]

    @given(st.integers(0, 10**15))
    def test_exact_amounts(self, nano: int) -> None:
        """The router reads the amount that is meant."""
        assert from_usd(exact_usd(nano)) == nano

    def test_open_until_it_ends(self) -> None:
        """It grows under its id, ends with its id alone, and with the router."""
        shown = model()
        shown.held(ROW)
        shown.held({**ROW, "requests": 2})
        assert [hold.requests for hold in shown.view.holds] == [2]
        shown.hold_ended("another")
        assert shown.question() is not None
        shown.hold_ended("a")
        assert shown.question() is None
        shown.holds([ROW, {"task_type": "of a newer service"}])
        assert [hold.hold_id for hold in shown.view.holds] == ["a"]
        shown.router_away()
        assert shown.question() is None

    def test_state(self) -> None:
        """The panel says that it waits, in the menu, the tooltip and the icon's words, the next step last."""
        shown = model()
        shown.held(ROW)
        picture = shown.picture()
        assert (picture.state, picture.icon_words) == (State.OVER, "a request waits for your answer")
        assert picture.tooltip.endswith("Answer its question, or see: cortexctl budget holds")


class TestMenu:
    def test_question_and_answers(self) -> None:
        """Where one is open, and else none of it."""
        ids = range(menu.HELD, menu.ANSWERS + menu.ANSWER_ENTRIES)
        shown = model()
        assert labels(shown, ids) == []
        shown.held(ROW)
        assert labels(shown, ids) == [
            "editor (user_chat) may cost $0.0500. Go on?", "Allow $0.5000 more today", "This once", "No",
        ]  # fmt: skip

    def test_never_another_question_under_the_pointer(self) -> None:
        """While the menu is open a question that ended stays, its answers answer nothing; the next one waits."""
        shown = model()
        shown.held(ROW)
        shown.menu(open=True)
        shown.hold_ended("a")
        shown.held({**ROW, "hold_id": "b"})
        assert answers(shown) == [None, None, None]
        assert labels(shown, [menu.HELD]) == ["Ended: editor (user_chat) may cost $0.0500. Go on?"]
        assert not any(entry.enabled for entry in shown.picture().menu if menu.answer_of(entry.id, Asked(Hold())))
        question = shown.question()
        assert question is not None
        assert question.hold_id == "b"
        shown.menu(open=False)
        assert answers(shown)[1] == Order("AnswerHold", ("b", "once"), {})

    @given(st.lists(st.lists(st.sampled_from("abc"), max_size=3, unique=True), max_size=6), st.booleans())
    def test_which_question(self, rounds: list[list[str]], menu_open: bool) -> None:
        """The oldest where the menu is closed; an open one keeps its own whatever comes and goes."""
        asked = Asked(Hold("a"))
        for ids in rounds:
            after = asked_now(asked, tuple(Hold(id) for id in ids), menu_open=menu_open)
            if menu_open:
                assert after is not None
                assert (after.hold.hold_id, after.ended) == ("a", "a" not in ids)
                asked = after
            else:
                assert (after.hold.hold_id if after else None) == (ids[0] if ids else None)

    def test_tightest_of_own_and_operators(self) -> None:
        """What is left to spend now is the least of all, never below nothing; a pause is no amount."""
        rows = [
            Budget("user", "", "day", 5_000_000_000, 4_000_000_000),
            Budget("own", "", "day", 2_000_000_000, 1_500_000_000),
            Budget("own", "", "month", 20_000_000_000, 1_000_000_000),
        ]
        view = View(Service.THERE, sums=Sums(0, 0), budgets=tuple(rows))
        texts = [entry.label for entry in picture_of(view, empty()).menu if entry.visible]
        assert "Left to spend now: $1.00" in texts
        assert "Left of your own cap today: $1.50 of $2.00" in texts
        assert "Left of your own cap this month: $1.00 of $20.00" in texts
        assert "Left to spend now: $1.00" in picture_of(view, empty()).tooltip
        assert left_nano_usd([*rows, Budget("own", "", "day", 1, -1)]) == 0
        assert left_nano_usd([]) is None
        pause = Budget("pause", remaining_nano_usd=0)
        assert without_pause([pause, *rows]) == (tuple(rows), pause)
        one = replace(view, budgets=tuple(rows[:1]))
        assert not any("now" in entry.label for entry in picture_of(one, empty()).menu if entry.visible)


class TestPause:
    def test_on_and_off(self) -> None:
        """For an hour where there is none, else its end; told in the tooltip, and not as over."""
        shown = model()
        assert labels(shown, [menu.PAUSE]) == ["Pause my spending for an hour"]
        assert shown.order_of(menu.PAUSE) == Order("SetOwnBudget", options={"pause_s": PAUSE_S})
        ends = datetime(2026, 11, 29, 14, 5).astimezone()
        shown.budgets([{**PAUSE, "resets_at": ends.isoformat()}])
        picture = shown.picture()
        assert labels(shown, [menu.PAUSE]) == ["End the pause (until 14:05)"]
        assert shown.order_of(menu.PAUSE) == Order("SetOwnBudget", options={"pause_s": 0})
        assert (picture.state, shown.view.budgets) == (State.OK, ())
        assert picture.tooltip.splitlines()[-1] == "Your spending is paused until 14:05."
        assert shown.pause_left_s(ends - timedelta(seconds=90)) == 90
        shown.pause_over()
        assert labels(shown, [menu.PAUSE]) == ["Pause my spending for an hour"]
        assert shown.pause_left_s(ends) is None

    def test_of_days(self) -> None:
        """Has the day, too."""
        shown = model()
        shown.budgets([{**PAUSE, "resets_at": datetime(2026, 12, 2, 14, 5).astimezone().isoformat()}])
        assert labels(shown, [menu.PAUSE]) == ["End the pause (until 2026-12-02 14:05)"]

    def test_only_where_the_router_is(self) -> None:
        """Nobody else could keep to it."""
        shown = model()
        shown.router_away()
        [entry] = [entry for entry in shown.picture().menu if entry.id == menu.PAUSE]
        assert not entry.enabled

    def test_moments(self) -> None:
        """In the computer's own zone, whatever zone they come in; what is no moment is a dash."""
        moment = datetime(2026, 11, 29, 14, 5).astimezone()
        other = moment.astimezone(timezone(timedelta(hours=9)))
        assert time_of_day(other.isoformat()) == time_of_day(other.isoformat(), TODAY) == "14:05"
        assert (time_of_day("soon"), seconds_until("soon", moment)) == ("—", None)
        assert seconds_until(moment.isoformat(), moment) == 1
