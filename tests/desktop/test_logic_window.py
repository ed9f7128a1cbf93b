"""What the window's pages show of a view, without a bus and without a toolkit."""

from __future__ import annotations

import ast
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import pytest
from cortex_llm_applet.logic import figures, last_route, now, providers
from cortex_llm_applet.logic.figures import Budget, Candidate, Cost, Decision, LeftOut, Provider, Record, Request, Sums
from cortex_llm_applet.logic.lines import Line
from cortex_llm_applet.logic.model import Model
from cortex_llm_applet.logic.trouble import TROUBLES, State, trouble_away
from cortex_llm_applet.logic.view import Service, View

from cortexd import client
from cortexd.client import results
from cortexd.errors import MARKS_NOBODY, Failure

DESKTOP = Path(__file__).resolve().parents[2] / "desktop"
WINDOW = DESKTOP / "cortex_llm_applet/window"
THERE = View(Service.THERE, sums=Sums(5_000_000_000, 9_000_000_000))


def line_of(lines: tuple[Line, ...], key: str) -> Line:
    return next(line for line in lines if line.key == key)


class TestNow:
    def test_sums_and_budgets(self) -> None:
        """Each budget has a line, with the icon of how near its end is; a newer word has none."""
        budgets = (
            Budget("user", "", "day", 2_000_000_000, 1_500_000_000, "", "ok"),
            Budget("user", "", "month", 3_000_000_000, 0, "", "exceeded"),
            Budget("machine", "", "day", 3_000_000_000, None, "", "a newer word"),
        )
        today, month, *left = now.spent(replace(THERE, budgets=budgets))
        assert (today.value, month.value) == ("$5.00", "$9.00")
        assert [line.value for line in left] == ["$1.50 of $2.00", "$0.00 of $3.00", "— of $3.00"]
        assert [line.state for line in left] == [State.OK, State.OVER, None]

    def test_running_have_a_button_each(self) -> None:
        """The button says to who cannot see the line what it cancels; what does not fit is counted."""
        requests = tuple(Request(f"r{number}", "user_chat", "queued") for number in range(now.MOST_RUNNING + 3))
        lines = now.running(replace(THERE, running=requests))
        assert [line.key for line in lines] == [*(f"r{number}" for number in range(now.MOST_RUNNING)), "more"]
        assert (lines[0].action, lines[0].action_spoken) == ("Cancel", "Cancel user_chat")
        assert (lines[-1].title, lines[-1].action) == ("and 3 more", "")

    def test_nothing_is_said(self) -> None:
        """An empty list says so."""
        assert [line.action for line in (*now.running(THERE), *now.last(THERE))] == ["", ""]

    def test_states_are_the_services(self) -> None:
        """The words for a request's state are those of the interface, and another one is under way."""
        [line] = now.running(replace(THERE, running=(Request("r", "user_chat", "a newer word", "claude", "m"),)))
        assert line.subtitle == "m · is under way"
        for state in ("queued", "authorizing", "held", "running", "streaming"):
            [line] = now.running(replace(THERE, running=(Request("r", "user_chat", state),)))
            assert line.subtitle not in ("", "is under way"), state

    def test_earlier_request_yields_to_later_ones(self) -> None:
        """What the ledger has last is shown where nothing was heard since."""
        model = Model(lambda: 0.0, date.today, lambda _notice: None)
        model.earlier(Record("r1", "user_chat", "done", "claude", "m", "", 7))
        assert model.view.costs == (Cost("r1", "user_chat", "claude", "m", 7),)
        model.earlier(Record("r2", "user_chat"))
        assert [cost.request_id for cost in model.view.costs] == ["r1"]


class TestProviders:
    def test_set_up_and_not(self) -> None:
        """Those without a key come apart, with the command that gives one; a local one has the service's hint."""
        rows = (
            Provider("claude", "ok", True, True),
            Provider("qwen", "unconfigured"),
            Provider("mine", "unconfigured", local=True, hint="no model is named"),
        )
        view = replace(THERE, providers=rows)
        assert [line.key for line in providers.in_use(view)] == ["claude"]
        without = providers.not_set_up(view)
        assert "sudo cortexctl credentials set qwen" in line_of(without, "qwen").subtitle
        assert "no model is named" in line_of(without, "mine").subtitle

    @pytest.mark.parametrize("failure", sorted(Failure, key=str))
    def test_every_failure_has_a_next_step(self, failure: Failure) -> None:
        """What marks a provider is told in words, and what to do comes last."""
        if failure in MARKS_NOBODY:
            return
        [line] = providers.in_use(
            replace(THERE, providers=(Provider("claude", "open", True, True, last_failure=failure.value),))
        )
        why, step = line.subtitle.split("\n")
        assert not why.endswith(f": {failure.value}")
        assert step.endswith((".", "claude"))
        assert line.state is State.ERROR

    def test_a_signal_says_why(self) -> None:
        """A provider that fails is told with its failure at once, and without it when it is back."""
        model = Model(lambda: 0.0, date.today, lambda _notice: None)
        model.providers([{"name": "claude", "state": "ok", "configured": True, "has_key": True}])
        model.provider_state("claude", "open", "authentication")
        assert "its key is not accepted" in providers.in_use(model.view)[0].subtitle
        model.provider_state("claude", "ok")
        assert providers.in_use(model.view)[0].subtitle == "answers"

    def test_newer_words(self) -> None:
        """A state and a failure of a newer service are shown as they are."""
        rows = (Provider("claude", "resting", True, True, last_failure="too_cold"),)
        [line] = providers.in_use(replace(THERE, providers=rows))
        assert "resting: too_cold" in line.subtitle


class TestLastRoute:
    RECORD = Record("r", "user_chat", "done", "kimi_k2", "k", "2026-11-29T20:00:00+00:00", 1_000_000_000)

    def test_candidates_in_order(self) -> None:
        """Each with its reason, what it would cost, and which of them answered last."""
        decision = Decision(
            "table",
            (
                Candidate("claude", "c", "user_chat goes to claude", "open", 1.5, 2.0),
                Candidate("kimi_k2", "k", "fallback after claude", "ok", None, 1.0),
                Candidate("mine", "m", "fallback after claude", "ok"),
            ),
            (LeftOut("qwen", "q", "no key"), LeftOut("qwen", "q", "no key")),
        )
        first, second, third = last_route.candidates(decision, self.RECORD)
        assert (first.value, second.value, third.value) == ("about $1.50", "at most $1.00", "—")
        assert (first.state, second.state) == (State.ERROR, State.OK)
        assert second.subtitle == "fallback after claude · answered the last one"
        assert "answered the last one" not in first.subtitle
        left_out = last_route.left_out(decision)
        assert len({line.key for line in left_out}) == len(left_out) == 2

    def test_request_of_nobody(self) -> None:
        """Without a request there is a line that says so, and a time that is none is left out."""
        assert len(last_route.request(None)) == 1
        [line] = last_route.request(replace(self.RECORD, started_at="yesterday"))
        assert line.subtitle == "answered by kimi_k2 · k"

    def test_decision_as_it_comes(self) -> None:
        """From the reply's dictionaries; a strategy of a newer service is shown as it is."""
        row = {"strategy": "by_moon", "candidates": [{"provider": "claude", "likely_cost_usd": 0.5, "rank": 1}]}
        decision = figures.decision_of(row)
        assert decision == Decision("by_moon", (Candidate("claude", likely_cost_usd=0.5),))
        assert last_route.ranked_by(decision) == "by_moon"


class TestKeys:
    @pytest.mark.parametrize(
        ("ours", "clients"),
        [
            (figures.Record, results.RequestRecord),
            (figures.Candidate, results.Candidate),
            (figures.LeftOut, client.LeftOut),
            (figures.Decision, client.Decision),
        ],
    )
    def test_are_the_clients(self, ours: type, clients: type) -> None:
        """Each key that the window reads is one that the Python client reads too."""
        assert {item.name for item in fields(ours)} <= {item.name for item in fields(clients)}


class TestTroubles:
    def test_commands_stand_in_their_step(self) -> None:
        """A command is told where it is to be copied, and only there."""
        for trouble in TROUBLES:
            assert bool(trouble.command) == ("{command}" in trouble.step)
            assert trouble.command in trouble.next_step
            assert "{" not in trouble.next_step

    def test_only_of_a_router_that_is_away(self) -> None:
        """Other pages than the first show what hides their content alone."""
        assert trouble_away(replace(THERE, clock_wrong=True)) is None
        assert trouble_away(View(Service.AWAY)) is not None


class TestRooms:
    def test_logic_knows_no_toolkit(self) -> None:
        """What is pure imports neither GLib nor GTK, and the panel's item no part of the window."""
        for path in (DESKTOP / "cortex_llm_applet").rglob("*.py"):
            modules = {
                node.module or "" for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
            }
            if path.parent.name == "logic":
                assert not [name for name in modules if name.startswith(("gi", "cortex_llm_applet.edges"))], path
            if WINDOW not in path.parents:
                assert not [name for name in modules if name.startswith("cortex_llm_applet.window")], path
