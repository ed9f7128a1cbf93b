"""One's own cap from the command line: setting it, being asked at a terminal, answering from another one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cortexd import errors
from cortexd.client import BudgetHeld, Client, Completion, Hold, HoldEnded
from simulated import Behaviour
from tests.bus.served import (  # noqa: F401
    START_S,
    Cortexctl,
    Served,
    at_terminal,
    cortexctl_fixture,
    served_fixture,
    served_of_module_fixture,
)
from tests.bus.typing_person import CTRL_C, person_at
from tests.eventually import assert_eventually

OTHER, LIMIT = 1, 6
PROMPT = "(Enter: no): "
ASK = ("ask", "--max-tokens", "1000", "hello")


@pytest.fixture(name="capped")
def capped_fixture(served: Served) -> Iterator[Client]:
    """A client of the user who has nothing left of the own cap."""
    served.simulated.behave("claude", Behaviour(input_tokens=50, output_tokens=20))
    with Client(served.address) as client:
        client.set_own_budget(day_usd=0, at_limit="ask")
        yield client
        client.set_own_budget(remove=True)


@contextmanager
def held(client: Client, requests: int = 1, **options: Any) -> Iterator[tuple[Hold, list[Future[Completion]]]]:
    """So many requests that wait for an answer."""
    with ThreadPoolExecutor(requests) as pool:
        asked = [
            pool.submit(client.complete, "user_chat", "hello", max_tokens=1000, **options) for _ in range(requests)
        ]
        try:
            yield one_hold(client, requests), asked
        finally:
            for hold in client.holds():
                client.answer_hold(hold.hold_id, "refuse")


def one_hold(client: Client, requests: int = 1) -> Hold:
    assert_eventually(lambda: [hold.requests for hold in client.holds()] == [requests], START_S, "a hold")
    [hold] = client.holds()
    return hold


def own_row(client: Client) -> dict[str, Any]:
    [row] = [dict(item.raw) for item in client.budgets() if (item.scope, item.period) == ("own", "day")]
    return row


class TestClient:
    def test_a_hold_is_told_and_answered(self, served: Served, capped: Client) -> None:
        """A subscription hears the question and its end; what it says is what holds() gives."""
        with capped.subscribe() as costs:
            assert costs.snapshot
            with held(capped, labels={"app": "editor"}) as (hold, [asked]):
                assert (hold.scope, hold.period, hold.app, hold.provider) == ("own", "day", "editor", "claude")
                assert hold.may_cost_nano_usd > 0
                assert hold.more_nano_usd >= hold.may_cost_nano_usd
                capped.answer_hold(hold.hold_id, "once")
                assert asked.result(START_S).cost_nano_usd > 0
            events = costs.events()
            assert next(events) == BudgetHeld(hold)
            assert next(events) == HoldEnded(hold.hold_id, "once")

    def test_each_amount_and_word(self, capped: Client) -> None:
        """What is not given stays; a cap is shown with what it does at its limit; more is on top of what is spent."""
        capped.set_own_budget(month_usd="20.5", at_limit="refuse")
        rows = {item.period: item for item in capped.budgets() if item.scope == "own"}
        assert {period: item.limit_nano_usd for period, item in rows.items()} == {"day": 0, "month": 20_500_000_000}
        assert {item.at_limit for item in rows.values()} == {"refuse"}
        capped.set_own_budget(more_usd=1, pause_s=60)
        assert own_row(capped)["remaining_nano_usd"] == 1_000_000_000
        assert "pause" in {item.scope for item in capped.budgets()}
        with pytest.raises(errors.InvalidArgument):
            capped.set_own_budget(at_limit="perhaps")
        with pytest.raises(errors.RequestNotFound):
            capped.answer_hold("nothing", "today", more_usd=1)
        capped.set_own_budget(remove=True)
        with pytest.raises(errors.InvalidArgument):
            capped.set_own_budget(more_usd=1)

    def test_refusal_in_a_program(self, capped: Client) -> None:
        """The error says by its details whose cap it is and what was answered."""
        with held(capped) as (hold, [asked]):
            capped.answer_hold(hold.hold_id, "refuse")
            with pytest.raises(errors.BudgetExceeded) as refused:
                asked.result(START_S)
        assert (refused.value.details["cause"], refused.value.details["answer"]) == ("own_cap", "refuse")


class TestSetting:
    def test_mine(self, capped: Client, cortexctl: Cortexctl) -> None:
        """A cap is set without an administrator, shown, and given up."""
        done = cortexctl("budget", "set", "--mine", "--day", "2", "--month", "20", "--at-limit", "downgrade")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        rows = [item for item in capped.budgets() if item.scope == "own"]
        own = {item.period: (item.limit_nano_usd, item.at_limit) for item in rows}
        assert own == {"day": (2_000_000_000, "downgrade"), "month": (20_000_000_000, "downgrade")}
        [day] = [line for line in cortexctl("budget").stdout.splitlines() if line.startswith("you allow yourself, day")]
        assert "$2.00" in day
        assert "your own day ok, your own month ok" in cortexctl("status").stdout
        assert cortexctl("budget", "remove", "--mine").returncode == 0
        assert [item for item in capped.budgets() if item.scope == "own"] == []

    def test_pause_and_resume(self, served: Served, cortexctl: Cortexctl) -> None:
        """While it lasts nothing that costs is asked, with the command to end it; then all is as before."""
        assert cortexctl("budget", "pause", "--for", "1h").returncode == 0
        try:
            refused = cortexctl("ask", "hello")
            assert refused.returncode == LIMIT
            assert "cortexctl budget resume" in refused.stderr
            assert any(line.startswith("your pause") for line in cortexctl("budget").stdout.splitlines())
            panel = at_panel(served)
            assert (panel["state"], panel["left"]) == ("over", None)
            assert "cortexctl budget resume" in panel["next_step"]
        finally:
            assert cortexctl("budget", "resume").returncode == 0
        with Client(served.address) as client:
            assert client.ask("hello")
        assert served.simulated.counts("claude").requests == 1

    def test_allow(self, capped: Client, cortexctl: Cortexctl) -> None:
        """So much more may be spent from now on; what is held goes on."""
        with held(capped) as (_hold, [asked]):
            assert cortexctl("budget", "allow", "0.5").returncode == 0
            cost = asked.result(START_S).cost_nano_usd
        assert own_row(capped)["remaining_nano_usd"] == 500_000_000 - cost


def at_panel(served: Served, state: str = "") -> dict[str, Any]:
    """What a panel shows once it is no longer loading, or once it shows `state`."""
    with person_at(served.address, ["watch", "--format", "json"]) as person:
        while True:
            person.sees("\n")
            line = json.loads(person.screen.splitlines()[person.screen.count("\n") - 1])
            if line["state"] == state or (not state and line["state"] != "loading"):
                assert isinstance(line, dict)
                return line


class TestAnswering:
    def test_from_another_terminal(self, capped: Client, cortexctl: Cortexctl) -> None:
        """holds shows what waits, requests shows it as held, answer without an id is for the only one."""
        with held(capped, labels={"app": "editor"}) as (hold, [asked]):
            [row] = json.loads(cortexctl("budget", "holds", "--json").stdout)
            assert (row["hold_id"], row["app"]) == (hold.hold_id, "editor")
            _header, line = cortexctl("budget", "holds").stdout.splitlines()
            assert line.split()[:2] == [hold.hold_id, "1"]
            assert " held " in cortexctl("requests").stdout
            assert cortexctl("budget", "answer", "other", "once").returncode == OTHER
            assert cortexctl("budget", "answer", "today", "--more", "0.25").returncode == 0
            cost = asked.result(START_S).cost_nano_usd
        assert own_row(capped)["remaining_nano_usd"] == 250_000_000 - cost
        assert cortexctl("budget", "answer", "once").returncode == OTHER
        assert json.loads(cortexctl("budget", "holds", "--json").stdout) == []

    def test_nothing_is_held(self, served: Served) -> None:
        """A person is told so in words."""
        assert at_terminal(served.address, ["budget", "holds"]) == (0, "nothing is held\n")


class TestAsk:
    def test_yes_for_today(self, served: Served, capped: Client) -> None:
        """What is shown is allowed, and the answer comes."""
        spent = own_row(capped)["spent_nano_usd"]
        with person_at(served.address, ASK) as person:
            shown = person.sees(PROMPT)
            assert "user_chat (claude claude-sonnet-5-5) may cost up to $" in shown
            assert served.simulated.counts("claude").requests == 0
            more = one_hold(capped).more_nano_usd
            person.types("t\n")
            person.sees("You said: hello")
            assert person.sees_the_end() == 0
        assert own_row(capped)["limit_nano_usd"] == spent + more

    def test_once(self, served: Served, capped: Client) -> None:
        """The cap stays as it is."""
        with person_at(served.address, ASK) as person:
            person.sees(PROMPT)
            person.types("once\n")
            person.sees("You said: hello")
            assert person.sees_the_end() == 0
        assert own_row(capped)["limit_nano_usd"] == 0

    def test_enter_is_no(self, served: Served, capped: Client) -> None:
        """What was typed before the question is no answer to it; a word that is none is asked about again."""
        with person_at(served.address, ("ask", "--no-stream", *ASK[1:])) as person:
            person.types("t\n")
            person.sees(PROMPT)
            person.types("perhaps\n")
            person.sees(PROMPT)
            person.types("\n")
            person.sees("cortexctl budget allow")
            assert person.sees_the_end() == LIMIT
        assert served.simulated.counts("claude").requests == 0

    def test_ctrl_c_ends_the_request(self, served: Served, capped: Client) -> None:
        """At the question too: nothing waits any longer, and the terminal is as before."""
        with person_at(served.address, ASK) as person:
            person.sees(PROMPT)
            person.types(CTRL_C)
            assert person.sees_the_end() == 130
        assert_eventually(lambda: capped.holds() == [], START_S)

    def test_answered_elsewhere(self, served: Served, capped: Client) -> None:
        """The question goes from the screen, and the answer comes."""
        with person_at(served.address, ASK) as person:
            person.sees(PROMPT)
            capped.answer_hold(one_hold(capped).hold_id, "once")
            person.sees("this once")
            person.sees("You said: hello")
            assert person.sees_the_end() == 0

    def test_chat(self, served: Served, capped: Client, tmp_path: Path) -> None:
        """A turn is asked about as any request; a no ends the turn and not the chat."""
        with person_at(served.address, ["chat"], {"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}) as person:
            person.enters("first")
            person.sees(PROMPT)
            person.types("o\n")
            person.sees("You said: first")
            person.enters("second")
            person.sees(PROMPT)
            person.types("n\n")
            person.sees("cortexctl budget allow")
            person.enters("/quit")
            person.sees_the_end()

    def test_nobody_is_asked_in_a_script(self, served: Served, capped: Client, cortexctl: Cortexctl) -> None:
        """It waits up to its deadline, and its error says why."""
        done = cortexctl("ask", "--deadline", "1", "hello")
        assert done.returncode == LIMIT
        assert "cortexctl budget allow" in done.stderr


class TestWatch:
    def test_asks_and_goes_on(self, served: Served, capped: Client) -> None:
        """A question that is open already, and a later one; after the answer costs go on to be shown."""
        with held(capped) as (_hold, [first]), person_at(served.address, ["watch"]) as person:
            person.sees("held: ")
            person.sees(PROMPT)
            person.types("o\n")
            assert first.result(START_S).content
            person.sees("this once")
            person.sees("user_chat, claude")
            with held(capped) as (_second_hold, [second]):
                person.sees(PROMPT)
                person.types("n\n")
                with pytest.raises(errors.BudgetExceeded):
                    second.result(START_S)
                person.sees("refused")

    def test_more_requests_are_asked_anew(self, served: Served, capped: Client) -> None:
        """What may be allowed stands in the last question."""
        with person_at(served.address, ["watch"]) as person:
            person.sees("watching")
            with held(capped) as (_one, [first]):
                person.sees(PROMPT)
                with ThreadPoolExecutor(1) as pool:
                    second = pool.submit(capped.complete, "user_chat", "hello", max_tokens=1000)
                    person.sees("2 requests")
                    person.sees(PROMPT)
                    person.types("o\n")
                    assert first.result(START_S).content
                    assert second.result(START_S).content

    def test_json(self, served: Served, capped: Client) -> None:
        """A document for the question and one for its end; a program is not prompted."""
        with person_at(served.address, ["watch", "--json"]) as person:
            person.sees("watching")
            with held(capped) as (hold, _asked):
                person.sees('"event": "held"')
                capped.answer_hold(hold.hold_id, "refuse")
                person.sees('"event": "hold_ended"')
            documents = [json.loads(line) for line in person.screen.splitlines() if line.endswith("}")]
            assert PROMPT not in person.screen
        [told] = [row for row in documents if row["event"] == "held"]
        assert told.items() >= dict(hold.raw).items() - {("until", hold.until)}

    def test_panel(self, served: Served, capped: Client) -> None:
        """A panel shows by its mark that something waits, and how to answer; also one that begins later."""
        with person_at(served.address, ["watch", "--format", "plain"]) as person:
            person.sees("■")
            with held(capped) as (hold, _asked):
                person.sees("◆")
                person.sees("cortexctl budget answer")
                assert "cortexctl budget answer" in at_panel(served, "held")["next_step"]
                capped.answer_hold(hold.hold_id, "refuse")
                person.sees("■")
