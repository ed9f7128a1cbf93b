"""Amounts, states and bad states of the applet, without a bus."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from cortex_llm_applet import wire_facts
from cortex_llm_applet.logic import figures
from cortex_llm_applet.logic.absence import absence_of
from cortex_llm_applet.logic.amounts import MISSING, usd
from cortex_llm_applet.logic.clock import is_wrong, later_days, month_changed, seconds_to_midnight
from cortex_llm_applet.logic.figures import Budget, Hold, Provider, Sums
from cortex_llm_applet.logic.picture import picture_of
from cortex_llm_applet.logic.slots import empty
from cortex_llm_applet.logic.trouble import TROUBLES, UNIT, State, state_of, trouble_of
from cortex_llm_applet.logic.view import Absence, Service, View
from hypothesis import given
from hypothesis import strategies as st

from cortexd import client
from cortexd.cli.machine import unit
from cortexd.domain.money import format_usd
from cortexd.errors import Denial
from tools.applet_facts import FACTS, XML, facts

ROOT = Path(__file__).resolve().parents[2]
THERE = View(Service.THERE, sums=Sums(0, 0), providers=(Provider("claude", "ok", True),))
AWAY = View(Service.AWAY)


class TestAmounts:
    @given(st.integers(-(10**15), 10**15))
    def test_as_cortexctl_shows_them(self, nano: int) -> None:
        """The panel and the terminal never show two amounts for one."""
        assert usd(nano) == format_usd(nano)

    def test_missing_is_a_dash(self) -> None:
        """What is not known is never shown as nothing spent."""
        assert usd(None) == MISSING
        assert usd(0) == "$0.00"


class TestWireFacts:
    def test_are_up_to_date(self) -> None:
        """The committed module is the generator's own; where it is not, script/applet-facts makes it again."""
        assert FACTS.read_text("utf-8") == facts(XML.read_text("utf-8")), "run script/applet-facts"

    @pytest.mark.parametrize(
        ("ours", "clients"),
        [
            (figures.Budget, client.BudgetInfo),
            (figures.Provider, client.ProviderInfo),
            (figures.Request, client.RequestInfo),
            (figures.Cost, client.CostEvent),
        ],
    )
    def test_keys_are_the_clients(self, ours: type, clients: type) -> None:
        """Each key that the applet reads is one that the Python client reads too."""
        assert {item.name for item in fields(ours)} <= {item.name for item in fields(clients)}

    def test_keys_of_holds_are_documented(self) -> None:
        """Each key that the applet reads of a question is one of ListHolds, amounts by their exact names."""
        [method] = [node for node in re.split(r"<!--\s+", XML.read_text("utf-8")) if node.startswith("ListHolds:")]
        assert "each with its _nano_usd (x)" in " ".join(method.split())
        for item in fields(figures.Hold):
            assert re.search(rf"\b{item.name.replace('_nano_usd', '_usd')}\b", method), item.name

    def test_keys_of_sums_are_documented(self) -> None:
        """The exact sums stand in the interface file, for the signal and for the snapshot."""
        text = XML.read_text("utf-8")
        assert all(text.count(f"{item.name} (x)") >= 2 for item in fields(figures.Sums))

    def test_unit_is_cortexctls(self) -> None:
        """The applet asks systemd for the same unit as cortexctl."""
        assert unit.UNIT == UNIT

    def test_nothing_of_the_daemon_is_imported(self) -> None:
        """The applet stands on the distribution's Python alone."""
        for path in (ROOT / "desktop").rglob("*.py"):
            assert not re.search(r"^\s*(from|import) (cortexd|dbus_next)", path.read_text("utf-8"), re.MULTILINE), path

    def test_bus_is_ours(self) -> None:
        """Only the bus denies a subscription, by the names that stand in cortexd's errors."""
        assert wire_facts.METHODS["Subscribe"] == ("org.cortexlinux.LLMRouter.Usage", "(a{sv})")
        assert Denial.OTHER_USER

    def test_values_of_other_types_are_not_taken(self) -> None:
        """A newer daemon's row with another type is a missing value, no crash."""
        row = {"scope": 3, "period": "day", "limit_nano_usd": "much", "severity": "ok", "new": {}}
        assert figures.filled(Budget, row) == Budget(period="day", severity="ok")
        assert figures.filled(Sums, {"day_nano_usd": True}) == Sums()


class TestStates:
    @pytest.mark.parametrize(
        ("view", "state"),
        [
            (View(), State.LOADING),
            (View(Service.THERE), State.LOADING),
            (THERE, State.OK),
            (replace(THERE, budgets=(Budget(severity="warning"),)), State.WARN),
            (replace(THERE, budgets=(Budget(severity="warning"), Budget(severity="exceeded"))), State.OVER),
            (replace(THERE, budgets=(Budget(severity="a newer word"),)), State.OK),
            (replace(THERE, pause=Budget("pause", severity="exceeded")), State.OK),
            (replace(THERE, budgets=(Budget("own", severity="exceeded"),)), State.OVER),
            (replace(THERE, holds=(Hold("a"),)), State.OVER),
            (AWAY, State.STALE),
            (replace(THERE, providers=(Provider("claude", "unconfigured"),)), State.UNCONFIGURED),
            (replace(THERE, ledger_writable=False), State.ERROR),
        ],
    )
    def test_each(self, view: View, state: State) -> None:
        """Seven states, each from what is known."""
        assert state_of(view) is state

    @pytest.mark.parametrize(
        ("view", "name"),
        [
            (View(Service.NO_BUS), "no_bus"),
            *((replace(AWAY, absence=absence), absence.value) for absence in Absence if absence is not Absence.RESTING),
            (AWAY, "stopped"),
            (replace(THERE, refused=True), "refused"),
            (replace(THERE, ledger_writable=False), "ledger_full"),
            (replace(THERE, allowed=False), "not_allowed"),
            (replace(THERE, providers=(Provider("claude", "unconfigured"),)), "no_key"),
            (replace(THERE, clock_wrong=True), "clock_wrong"),
            (replace(THERE, budgets=(Budget(severity="exceeded"),)), "used_up"),
            (replace(THERE, budgets=(Budget("own", severity="exceeded"),)), "own_cap_used_up"),
            (replace(THERE, budgets=(Budget("own", severity="exceeded"),), holds=(Hold("a"),)), "held"),
        ],
    )
    def test_bad_states_have_a_next_step(self, view: View, name: str) -> None:
        """Each is told in the menu and in the tooltip, the next step last."""
        trouble = trouble_of(view)
        assert trouble is not None
        assert trouble.name == name
        picture = picture_of(view, empty())
        assert [entry.label for entry in picture.menu if entry.visible][:2] == [trouble.meaning, trouble.next_step]
        assert picture.tooltip.endswith(f"{trouble.meaning}\n{trouble.next_step}")

    def test_every_trouble_is_reachable(self) -> None:
        """None stands behind another one that always applies too."""
        budgets = ((), (Budget(severity="exceeded"),), (Budget("own", severity="exceeded"),))
        providers = ((Provider("claude", "ok", True),), (Provider("claude", "unconfigured"),))
        views = (
            View(service, absence, Sums(0, 0), budget, provider, (), (), writable, allowed, refused, clock)
            for service, absence, budget, provider, writable, allowed, refused, clock in product(
                Service, Absence, budgets, providers, (True, False), (None, True, False), (True, False), (True, False)
            )
        )
        every = (replace(view, holds=holds) for view in views for holds in ((), (Hold("a"),)))
        assert {found.name for view in every if (found := trouble_of(view))} == {item.name for item in TROUBLES}

    def test_stale_keeps_what_was_known(self) -> None:
        """The sum of today stays when the router leaves; a day later nobody knows."""
        view = replace(THERE, sums=Sums(5, 9)).away()
        assert (view.sums, view.running) == (Sums(5, 9), ())
        assert view.forgotten(month=False).sums == Sums(None, 9)
        assert view.forgotten(month=True).sums == Sums(None, None)


class TestAbsence:
    @pytest.mark.parametrize(
        ("unit_state", "activatable", "absence"),
        [
            (None, True, Absence.RESTING),
            (None, False, Absence.NOT_INSTALLED),
            (("not-found", "inactive", "dead", 0), False, Absence.NOT_INSTALLED),
            (("masked", "inactive", "dead", 0), True, Absence.MASKED),
            (("loaded", "inactive", "dead", 0), True, Absence.RESTING),
            (("loaded", "failed", "failed", 5), True, Absence.FAILED),
            (("loaded", "activating", "auto-restart", 0), True, Absence.RESTARTING),
            (("loaded", "activating", "start", 1), True, Absence.RESTARTING),
            (("loaded", "activating", "start", 0), True, Absence.RESTING),
        ],
    )
    def test_each(self, unit_state: tuple[object, ...] | None, activatable: bool, absence: Absence) -> None:
        """By the unit's properties, as cortexctl reads them."""
        names = ("LoadState", "ActiveState", "SubState", "NRestarts")
        properties = dict(zip(names, unit_state, strict=True)) if unit_state else None
        assert absence_of(properties, activatable=activatable) is absence


class TestClock:
    def test_before_the_software_was_made(self) -> None:
        """A clock that shows a time before this software was made, or before costs that are booked, is wrong."""
        made = datetime(2026, 11, 29).astimezone()
        assert is_wrong(made - timedelta(days=1), made, False)
        assert not is_wrong(made + timedelta(days=1), made, False)
        assert is_wrong(made + timedelta(days=1), made, True)

    def test_later_days_leave_tomorrow_out(self) -> None:
        """A day that began in another time zone is no wrong clock."""
        since, until = later_days(datetime(2026, 11, 29).date())
        assert (since, until) == ("2026-12-01", "2027-11-30")

    def test_midnight(self) -> None:
        """The timer rings after the day's end, and never spins."""
        assert seconds_to_midnight(datetime(2026, 11, 29, 23, 59, 50)) == 10
        assert seconds_to_midnight(datetime(2026, 11, 29, 23, 59, 59, 999_999)) == 1

    def test_month(self) -> None:
        """A new year's January is another month."""
        assert month_changed(datetime(2026, 1, 31).date(), datetime(2027, 1, 1).date())
        assert not month_changed(datetime(2026, 1, 30).date(), datetime(2026, 1, 31).date())
