"""What a panel shows of one's spending: seven states, apart by shape and by words, in every form."""

from __future__ import annotations

import json

import pytest

from cortexd.cli.panels.formats import FORMATS, UNKNOWN, text
from cortexd.cli.panels.spending import Left, Spending, State, left_of, state_of, used_of
from cortexd.client import BudgetInfo

KNOWN = {"day_usd": 1.234, "month_usd": 5.0, "left": Left(0.766, 2.0, "day", "user"), "used": 0.617}


def spending(state: State) -> Spending:
    return Spending(state) if state is State.LOADING else Spending(state, **KNOWN, next_step="Do <this> & that.")  # type: ignore[arg-type]


class TestForms:
    def test_states_differ_in_shape(self) -> None:
        """Colour is never alone: the first character differs."""
        assert len({text(spending(state))[0] for state in State}) == len(State)

    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize("state", State)
    def test_one_line_each(self, form: str, state: State) -> None:
        """Each state in each form is one line that has its mark, and no 0 for what is not known."""
        line = FORMATS[form](spending(state))
        assert "\n" not in line
        assert text(spending(state)) in line
        if state is State.LOADING:
            assert UNKNOWN in line
            assert "$0" not in line

    @pytest.mark.parametrize("form", ["waybar", "i3blocks", "json"])
    def test_json_forms(self, form: str) -> None:
        """Where a panel reads JSON it is JSON."""
        for state in State:
            assert isinstance(json.loads(FORMATS[form](spending(state))), dict)

    def test_waybar_takes_markup(self) -> None:
        """Waybar's tooltip is Pango markup, so that signs of it are written as such."""
        line = json.loads(FORMATS["waybar"](spending(State.WARN)))
        assert "Do &lt;this&gt; &amp; that." in line["tooltip"]
        assert line["percentage"] == 62

    def test_tags_are_closed(self) -> None:
        """What polybar and xmobar colour ends."""
        assert FORMATS["polybar"](spending(State.OVER)).endswith("%{F-}")
        assert FORMATS["xmobar"](spending(State.OVER)).endswith("</fc>")


def budget(severity: str, remaining: float | None, limit: float = 2.0) -> BudgetInfo:
    return BudgetInfo(scope="user", period="day", limit_usd=limit, severity=severity, remaining_usd=remaining)


class TestState:
    @pytest.mark.parametrize(
        ("severities", "state"),
        [
            ([], State.OK),
            (["ok"], State.OK),
            (["ok", "warning"], State.WARN),
            (["a word of tomorrow"], State.WARN),
            (["exceeded", "warning"], State.OVER),
        ],
    )
    def test_the_worst_budget_counts(self, severities: list[str], state: State) -> None:
        """A severity that is not known is a warning."""
        assert state_of([budget(item, 1.0) for item in severities]) is state

    def test_left_is_of_the_one_that_ends_first(self) -> None:
        """What nobody may see is left out, and nothing is below nothing."""
        assert left_of([]) is None
        assert left_of([budget("ok", None)]) is None
        found = left_of([budget("ok", 1.5), budget("exceeded", -0.1)])
        assert found is not None
        assert found.usd == 0.0

    def test_used_is_of_the_fullest(self) -> None:
        """A limit of nothing is used up."""
        assert used_of([budget("ok", 1.5), budget("ok", 0.5)]) == pytest.approx(0.75)
        assert used_of([budget("exceeded", 0.0, 0.0)]) == 1.0
        assert used_of([]) is None
