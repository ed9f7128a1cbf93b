"""The menu, its slots, pacing and notices of the applet, without a bus."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from cortex_llm_applet.logic import menu
from cortex_llm_applet.logic.figures import Budget, Cost, Provider, Request, Sums
from cortex_llm_applet.logic.menu import entries
from cortex_llm_applet.logic.model import Model
from cortex_llm_applet.logic.notices import DOWN_S, Notice, Outages, Thresholds
from cortex_llm_applet.logic.pacing import REDRAW_S, Pacer
from cortex_llm_applet.logic.picture import changed
from cortex_llm_applet.logic.slots import SLOTS, Slot, assigned, beyond, empty
from cortex_llm_applet.logic.trouble import State
from cortex_llm_applet.logic.view import Service, View
from hypothesis import given
from hypothesis import strategies as st

REQUESTS = [Request(f"r{number}", "user_chat") for number in range(8)]


def visible(view: View) -> list[str]:
    return [entry.label for entry in entries(view, empty(), 0) if entry.visible and entry.label]


class TestEntries:
    def test_ids_never_change(self) -> None:
        """The layout is the same whatever is known, so that no panel has to close an open menu."""
        full = View(
            Service.THERE,
            sums=Sums(1, 2),
            budgets=tuple(Budget("user", period=period) for period in ("day", "month") * 4),
            costs=tuple(Cost(f"r{number}", "user_chat", "claude", "m", number) for number in range(9)),
        )
        slots = assigned(empty(), REQUESTS, menu_open=False)
        ids = [entry.id for entry in entries(View(), empty(), 0)]
        assert [entry.id for entry in entries(full, slots, 3)] == ids
        assert len(set(ids)) == len(ids)

    def test_budgets_in_words(self) -> None:
        """What is left, of whose budget; a word of a newer service gets a general text."""
        budgets = (
            Budget("user", "", "day", 2_000_000_000, 1_500_000_000),
            Budget("group", "staff", "month", 9_000_000_000, None),
            Budget("team", "x", "week", 3_000_000_000, -5),
        )
        shown = visible(View(Service.THERE, sums=Sums(0, 0), budgets=budgets))
        assert "Left of your budget today: $1.50 of $2.00" in shown
        assert "Left of staff's budget this month: — of $9.00" in shown
        assert "Left of a budget: $0.00 of $3.00" in shown

    def test_cost_in_words(self) -> None:
        """A cost that the provider did not tell is the most that it can be; without a model there is the provider."""
        costs = (
            Cost("a", "user_chat", "claude", "", 1_000_000_000, False),
            Cost("b", "user_chat", "", "", None),
        )
        shown = visible(View(Service.THERE, costs=costs))
        assert "user_chat   claude   at most $1.00" in shown
        assert "user_chat   —   —" in shown

    def test_only_what_changed(self) -> None:
        """A new sum changes one entry for the day and one for the month."""
        before = entries(View(Service.THERE, sums=Sums(0, 0)), empty(), 0)
        after = entries(View(Service.THERE, sums=Sums(1_000_000_000, 0)), empty(), 0)
        assert [(entry.id, entry.label) for entry in changed(before, after)] == [(menu.TODAY, "Today: $1.00")]


class TestSlots:
    def test_oldest_first_and_the_rest_counted(self) -> None:
        """As many as fit."""
        slots = assigned(empty(), REQUESTS, menu_open=False)
        assert slots == tuple(Slot(request) for request in REQUESTS[:SLOTS])
        assert beyond(slots, REQUESTS) == len(REQUESTS) - SLOTS

    @given(st.lists(st.lists(st.integers(0, 7), max_size=8, unique=True), max_size=6))
    def test_never_another_request_under_the_pointer(self, rounds: list[list[int]]) -> None:
        """While the menu is open an entry that had a request keeps it, whatever comes and goes."""
        slots = assigned(empty(), REQUESTS[:3], menu_open=False)
        for chosen in rounds:
            running = [REQUESTS[number] for number in chosen]
            after = assigned(slots, running, menu_open=True)
            for old, new in zip(slots, after, strict=True):
                assert old is None or (new is not None and new.request.request_id == old.request.request_id)
                assert new is None or new.ended is (new.request not in running)
            slots = after


class TestPacer:
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
    def test_four_a_second_and_the_last(self, gaps: list[float]) -> None:
        """However events fall, drawings are a quarter of a second apart, and one comes at or after the last event."""
        pacer, now, due, drawn = Pacer(), 0.0, None, []
        for gap in gaps:
            now += gap
            if due is not None and due <= now:
                pacer.drew(due, told=True)
                drawn.append(due)
                due = None
            delay = pacer.wanted(now)
            due = due if delay is None else now + delay
        assert due is not None
        assert now <= due <= now + REDRAW_S
        drawn.append(due)
        assert all(later - earlier >= REDRAW_S - 1e-9 for earlier, later in pairwise(drawn))

    def test_at_once_after_a_quiet_time(self) -> None:
        """The first change is drawn without waiting."""
        pacer = Pacer()
        assert pacer.wanted(10.0) == 0
        assert pacer.wanted(10.0) is None

    def test_no_change_holds_up_nothing(self) -> None:
        """Where there was nothing to tell, the next change is told at once."""
        pacer = Pacer()
        pacer.wanted(10.0)
        pacer.drew(10.0, told=False)
        assert pacer.wanted(10.1) == 0
        pacer.drew(10.1, told=True)
        assert pacer.wanted(10.2) == pytest.approx(REDRAW_S - 0.1)


class TestThresholds:
    def test_once_each(self) -> None:
        """The same threshold of the same day is told once; another one, and the next day's, again."""
        told = Thresholds()
        assert told.crossed("day", 0.8, 1.6, 2.0, "2026-11-29") == Notice(
            "80% of today's budget is used", "You have spent $1.60 of $2.00.", State.WARN, 1, "budget-day"
        )
        assert told.crossed("day", 0.8, 1.7, 2.0, "2026-11-29") is None
        assert told.crossed("day", 0.95, 1.9, 2.0, "2026-11-29") is not None
        assert told.crossed("day", 0.8, 1.6, 2.0, "2026-11-30") is not None
        assert told.crossed("month", 0.8, 1.6, 2.0, "2026-11-29") is not None
        assert told.crossed("month", 0.8, 1.6, 2.0, "2026-11-30") is None

    def test_whole_budget_is_urgent(self) -> None:
        """The last one is shown as over."""
        notice = Thresholds().crossed("day", 1.0, 2.0, 2.0, "2026-11-29")
        assert notice is not None
        assert (notice.icon, notice.urgency) == ("over", 2)


class TestOutages:
    def test_down_for_a_minute_and_back(self) -> None:
        """Told once when the minute is over, and once when it answers again; the second takes the first's place."""
        outages = Outages()
        assert outages.state("claude", "open", 100) is None
        assert outages.due_in(130) == DOWN_S - 30
        assert outages.due(159) == []
        [down] = outages.due(160)
        assert outages.due(161) == []
        assert outages.due_in(161) is None
        assert outages.state("claude", "open", 170) is None
        back = outages.state("claude", "ok", 200)
        assert back is not None
        assert back.replaces == down.replaces
        assert outages.state("claude", "ok", 201) is None

    def test_short_outage_is_nobodys_business(self) -> None:
        """Back within the minute: nothing is told, neither that it was down nor that it is back."""
        outages = Outages()
        outages.state("claude", "open", 100)
        assert outages.state("claude", "ok", 150) is None
        assert outages.due_in(150) is None
        assert outages.due(500) == []

    def test_tried_again_in_vain(self) -> None:
        """A test of it in between, which fails, neither ends the outage nor begins the minute anew."""
        outages = Outages()
        outages.state("claude", "open", 100)
        assert outages.state("claude", "degraded", 130) is None
        assert outages.state("claude", "open", 131) is None
        assert len(outages.due(160)) == 1
        assert outages.state("claude", "degraded", 170) is None
        assert outages.state("claude", "unconfigured", 180) is None
        assert outages.state("claude", "ok", 190) is None

    def test_router_away(self) -> None:
        """What nobody watches counts for no minute; a provider that was told of is told to be back afterwards."""
        outages = Outages()
        outages.state("claude", "open", 0)
        outages.due(60)
        outages.state("kimi_k2", "open", 50)
        outages.router_away()
        assert outages.due(1_000) == []
        [back] = outages.states((Provider("claude", "ok", True), Provider("kimi_k2", "open", True)), 1_000)
        assert back.replaces == "provider-claude"
        assert outages.due_in(1_000) == DOWN_S

    def test_provider_that_was_taken_away(self) -> None:
        """What the operator removed is not told of."""
        outages = Outages()
        outages.state("old", "open", 0)
        outages.states((), 10)
        assert outages.due(100) == []


class TestModel:
    def test_day_over_while_away(self) -> None:
        """A sum of yesterday is no sum of today: it is not known."""
        today = [date(2026, 11, 29)]
        model = Model(lambda: 0.0, lambda: today[0], lambda _notice: None)
        model.router_there()
        model.snapshot({"day_nano_usd": 5, "month_nano_usd": 9})
        model.router_away()
        assert not model.day_over()
        today[0] = date(2026, 11, 30)
        assert model.day_over()
        assert model.view.sums == Sums(None, 9)
        assert not model.day_over()
        today[0] = date(2026, 12, 1)
        assert model.day_over()
        assert model.view.sums == Sums(None, None)

    def test_day_over_while_there(self) -> None:
        """The router says itself when a day begins."""
        today = [date(2026, 11, 29)]
        model = Model(lambda: 0.0, lambda: today[0], lambda _notice: None)
        model.router_there()
        model.snapshot({"day_nano_usd": 5, "month_nano_usd": 9})
        today[0] = date(2026, 11, 30)
        assert not model.day_over()

    def test_ended_request_is_not_cancelled(self) -> None:
        """A click on what has ended asks nobody for anything."""
        model = Model(lambda: 0.0, date.today, lambda _notice: None)
        model.router_there()
        model.running([{"request_id": "a", "task_type": "user_chat"}])
        model.menu(open=True)
        assert model.request_in(0) == "a"
        model.running([{"request_id": "b", "task_type": "user_chat"}])
        assert (model.request_in(0), model.request_in(1)) == (None, "b")
        model.menu(open=False)
        assert (model.request_in(0), model.request_in(1)) == ("b", None)
