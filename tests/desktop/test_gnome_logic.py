"""What GNOME Shell's extension shows is what the applet shows: both get the same events, the extension in gjs."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import date
from typing import Any

import pytest
from cortex_llm_applet.logic import menu
from cortex_llm_applet.logic.model import Model
from cortex_llm_applet.logic.slots import SLOTS
from cortex_llm_applet.logic.view import Absence, Service
from hypothesis import given
from hypothesis import strategies as st

from tests.desktop.conftest import ROOT, need
from tests.desktop.test_files import ENTRY as CATALOGUED
from tests.desktop.test_files import GERMAN
from tools import shell_facts

EXTENSION = ROOT / "desktop/gnome-shell"
DRIVERS = ROOT / "tests/desktop/javascript"
LOGIC = ROOT / "desktop/shells/logic"
MODULES = sorted([*EXTENSION.glob("*.js"), *LOGIC.glob("*.mjs")])
OF_THE_TRAY_ALONE = (70, menu.OPEN, menu.PAUSE, menu.QUIT, *range(menu.HELD, menu.ANSWERS + menu.ANSWER_ENTRIES + 1))
SAID = re.compile(r"say\((?:[^'()]*\? )?'([^']+)'(?: : '[^']+')?\)")
SAFE = 2**53 - 1  # what a number of JavaScript holds exactly

Event = tuple[Any, ...]
words = st.sampled_from(
    ["", "claude", "user_chat", "day", "month", "user", "group", "machine", "own", "ok", "open", "exceeded"]
)
nano = (
    st.none() | st.integers(-SAFE, SAFE) | st.sampled_from([0, 1, 999, 5_000, 1_000_000, 1_005_000_000, "much", True])
)
severities = st.sampled_from(["ok", "warning", "exceeded", "newer"])
requests = st.integers(0, 7).map(
    lambda number: {"request_id": f"r{number}", "task_type": "user_chat", "model": "m" * (number % 3)}
)
budgets = {"scope": words, "name": words, "period": words, "limit_nano_usd": nano, "remaining_nano_usd": nano}
rows = {
    "budgets": st.fixed_dictionaries({}, optional={**budgets, "severity": severities}),
    "providers": st.fixed_dictionaries(
        {}, optional={"name": words, "state": words, "configured": st.booleans() | words}
    ),
    "running": requests,
}
sums = st.fixed_dictionaries({}, optional={"day_nano_usd": nano, "month_nano_usd": nano})
costs = st.fixed_dictionaries({}, optional={"day_nano_usd": nano, "cost_nano_usd": nano, "cost_known": st.booleans()})
asked = st.fixed_dictionaries({"hold_id": st.sampled_from(["h1", "h2"])})
events = st.one_of(
    st.just(("router_there",)),
    st.tuples(st.just("router_away"), st.sampled_from([Service.AWAY, Service.NO_BUS])),
    st.tuples(st.just("absence"), st.sampled_from(list(Absence))),
    st.just(("refused",)),
    st.tuples(st.just("allowed"), st.sampled_from([None, True, False])),
    st.tuples(st.just("clock"), st.booleans()),
    st.tuples(st.just("snapshot"), sums),
    st.tuples(st.just("cost"), st.sampled_from(["a", "b", "c", "d", "e", "f"]), words, words, words, costs),
    st.tuples(st.just("provider_state"), words, words),
    *(st.tuples(st.just(name), st.lists(row, max_size=8, unique_by=str)) for name, row in rows.items()),
    st.tuples(st.just("holds"), st.lists(asked, max_size=2, unique_by=str)),
    st.tuples(st.just("held"), asked),
    st.tuples(st.just("hold_ended"), st.sampled_from(["h1", "h2"])),
    st.tuples(st.just("stats"), st.sampled_from([{}, {"service": {"ledger_writable": False}}, {"service": {}}])),
    st.tuples(st.just("menu"), st.booleans()),
    st.tuples(st.just("day"), st.sampled_from(["2026-11-29", "2026-11-30", "2026-12-01"])),
    st.just(("day_over",)),
)


def expected(given_events: list[Event]) -> dict[str, Any]:
    """The applet's picture after the events, as JSON would have it, without what only a tray needs."""
    days = [date(2026, 11, 29)]
    model = Model(lambda: 0.0, lambda: days[-1], lambda _notice: None)
    for name, *values in given_events:
        if name == "day":
            days.append(date.fromisoformat(values[0]))
        elif name == "menu":
            model.menu(open=values[0])
        else:
            getattr(model, name)(*values)
    picture: dict[str, Any] = json.loads(json.dumps(asdict(model.picture())))
    picture["menu"] = [entry for entry in picture["menu"] if entry["id"] not in OF_THE_TRAY_ALONE]
    return {**picture, "cancels": [model.request_in(slot) for slot in range(SLOTS)]}


@pytest.fixture(name="mirror", scope="module")
def mirror_fixture() -> Iterator[Callable[[list[Event]], Any]]:
    """Gives the picture of the extension's model after some events."""
    need({"gjs": "gjs"})
    with subprocess.Popen(
        ["gjs", "-m", DRIVERS / "mirror.js"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        asked, answers = process.stdin, process.stdout

        def ask(given_events: list[Event]) -> Any:
            asked.write(f"{json.dumps(given_events)}\n")
            asked.flush()
            return json.loads(answers.readline())

        yield ask
        asked.close()
        assert process.wait(20) == 0


class TestModel:
    @given(st.lists(events, max_size=12))
    def test_shows_what_the_applet_shows(self, mirror: Callable[[list[Event]], Any], given_events: list[Event]) -> None:
        """After whatever happens: state, label, words, each entry of the menu, and what a click on it cancels."""
        assert mirror(given_events) == expected(given_events)

    @given(nano.filter(lambda value: type(value) is int))
    def test_amounts(self, mirror: Callable[[list[Event]], Any], amount: int) -> None:
        """Cent for cent."""
        given_events = [("router_there",), ("snapshot", {"day_nano_usd": amount})]
        assert mirror(given_events)["label"] == expected(given_events)["label"]


class TestFiles:
    def test_facts_are_up_to_date(self) -> None:
        """The committed module is the generator's own; where it is not, script/applet-facts makes it again."""
        assert shell_facts.FACTS.read_text("utf-8") == shell_facts.facts(), "run script/applet-facts"

    def test_syntax(self) -> None:
        """Each module is one, also those that only a shell can load."""
        need({"gjs": "gjs"})
        argv = ["gjs", "-m", str(DRIVERS / "parse.js"), *map(str, MODULES)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
        assert dict(line.split("\t")[::-1] for line in done.stdout.splitlines()).keys() == {
            str(path) for path in MODULES
        }
        assert not [line for line in done.stdout.splitlines() if line.startswith("SyntaxError")]

    def test_texts_have_their_german(self) -> None:
        """The extension says nothing that the applet's catalogue has not."""
        catalogue = dict(CATALOGUED.findall(GERMAN.read_text("utf-8")))
        said = {text for path in LOGIC.glob("*.mjs") for text in SAID.findall(path.read_text("utf-8"))}
        assert "Today: {amount}" in said
        assert said <= catalogue.keys()
