"""cortexctl chat, by a person at a real terminal and by a script."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cortexd.client import Client
from simulated import Behaviour
from tests.bus.served import (  # noqa: F401
    Cortexctl,
    Served,
    cortexctl_fixture,
    served_fixture,
    served_of_module_fixture,
)
from tests.bus.typing_person import CTRL_C, CTRL_D, Person, person_at


@contextmanager
def chatting(served: Served, home: Path, *words: str) -> Iterator[Person]:
    with person_at(served.address, ["chat", *words], {"XDG_STATE_HOME": str(home), "HOME": str(home)}) as person:
        yield person


def asked(served: Served, provider: str = "claude") -> list[list[str]]:
    """The texts of each request that it got."""
    bodies = [request.json() for request in served.simulated.received(provider)]
    return [[_text(message["content"]) for message in body["messages"]] for body in bodies]


def _text(content: object) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)  # type: ignore[attr-defined]


class TestTurns:
    def test_the_model_remembers_what_was_said(self, served: Served, tmp_path: Path) -> None:
        """The second turn brings the first one and its answer along, in one session."""
        with chatting(served, tmp_path, "--system", "Be brief.") as person:
            person.enters("first")
            person.sees("You said: first")
            person.enters("second")
            person.sees("You said: second")
            person.enters("/quit")
            assert person.sees_the_end() == 0
        assert asked(served)[-1] == ["first", "[claude-sonnet-5-5] You said: first", "second"]

    def test_each_turn_says_what_it_and_the_chat_cost(self, served: Served, tmp_path: Path) -> None:
        """The line below an answer ends with the sum."""
        served.simulated.behave("claude", Behaviour(input_tokens=1000, output_tokens=100))
        with chatting(served, tmp_path) as person:
            for total in ("$0.0030", "$0.0060"):
                person.enters("hello")
                person.sees("1000 + 100 tokens, $0.0030")
                assert total in person.sees("\n")
            person.enters("/cost")
            person.sees("1. $0.0030 claude claude-sonnet-5-5\n2. $0.0030")
            person.sees("This chat: $0.0060; requests: 2.")

    def test_a_line_goes_on_behind_a_backslash(self, served: Served, tmp_path: Path) -> None:
        """Two lines are one turn."""
        with chatting(served, tmp_path) as person:
            person.enters("one\\")
            person.sees("… ")
            person.types("two\n")
            person.sees("You said: one")
        assert asked(served)[-1] == ["one\ntwo"]

    def test_an_error_ends_the_turn_and_not_the_chat(self, served: Served, tmp_path: Path) -> None:
        """What was asked in vain can be asked again."""
        for name in ("claude", "kimi_k2"):
            served.simulated.behave(name, Behaviour(status=400, error_message="no such thing"))
        with chatting(served, tmp_path) as person:
            person.enters("hello")
            person.sees("cortexctl: ")
            served.simulated.reset("claude")
            person.enters("/retry")
            person.sees("You said: hello")

    def test_a_daemon_that_comes_back_is_asked(self, served: Served, tmp_path: Path) -> None:
        """The chat outlives a restart of the service."""
        with chatting(served, tmp_path) as person:
            person.enters("before")
            person.sees("You said: before")
            served.stop()
            person.enters("meanwhile")
            person.sees("cortexctl: ")
            served.start()
            person.enters("after")
            person.sees("You said: after")


class TestInterrupting:
    def test_ctrl_c_ends_the_answer_and_not_the_chat(self, served: Served, tmp_path: Path) -> None:
        """What came stays in the conversation, the provider is left, and the ledger knows the cost."""
        served.simulated.behave("claude", Behaviour(reply="begun and never ended", chunks=20, chunk_delay_s=0.2))
        with chatting(served, tmp_path) as person:
            person.enters("long")
            person.sees("begun")
            person.types(CTRL_C)
            person.sees("interrupted")
            served.simulated.reset("claude")
            person.enters("short")
            person.sees("You said: short")
            person.sees("at least $")
            person.enters("/cost")
            person.sees("1. interrupted\n2. $")
            person.sees("requests: 2.")
        last = asked(served)[-1]
        assert last[0] == "long"
        assert last[1].startswith("begun")
        assert last[2] == "short"

    def test_ctrl_c_at_the_prompt_says_how_to_leave(self, served: Served, tmp_path: Path) -> None:
        """Nothing is lost by it; Ctrl-D leaves."""
        with chatting(served, tmp_path) as person:
            person.sees("> ")
            person.interrupts()
            person.sees("Ctrl-D or /quit")
            person.sees("> ")
            person.types(CTRL_D)
            assert person.sees_the_end() == 0


class TestCommands:
    def test_model_and_task(self, served: Served, tmp_path: Path) -> None:
        """The next turn goes to whom was named, for what was named."""
        with chatting(served, tmp_path) as person:
            person.enters("/model kimi_k2")
            person.sees("asking kimi_k2")
            person.enters("/task code_generation")
            person.sees("task code_generation")
            person.enters("hello")
            person.sees("You said: hello")
            person.enters("/model auto")
            person.sees("asking whom cortexd chooses")
            person.enters("/model")
            person.sees("claude/claude-sonnet-5-5")
        assert len(asked(served, "kimi_k2")) == 1

    def test_wrong_ones_say_what_is_right(self, served: Served, tmp_path: Path) -> None:
        """An unknown command, task or model costs nothing."""
        with chatting(served, tmp_path) as person:
            for typed, told in (
                ("/nonsense", "/help"),
                ("/task cooking", "user_chat"),
                ("/retry", "nothing to ask again"),
                ("/good", "no answer"),
                ("/save", "notes.md"),
            ):
                person.enters(typed)
                person.sees("cortexctl: ")
                assert told in person.sees("\n")
        assert asked(served) == []

    def test_retry_asks_without_the_answer(self, served: Served, tmp_path: Path) -> None:
        """The last answer goes; its cost stays in the sum."""
        with chatting(served, tmp_path) as person:
            person.enters("hello")
            person.sees("this chat $")
            person.enters("/retry")
            person.sees("You said: hello")
            person.enters("/cost")
            person.sees("requests: 2.")
        assert asked(served)[-1] == ["hello"]

    def test_good_and_bad_reach_the_ledger(self, served: Served, tmp_path: Path) -> None:
        """They judge the last answer."""
        with chatting(served, tmp_path) as person:
            person.enters("hello")
            person.sees("this chat $")
            person.enters("/bad the wrong city")
            person.sees("noted")
        with Client(served.address) as client:
            [outcome] = client.request().outcomes
        assert (outcome.source, outcome.score) == ("user", 0.0)

    def test_save(self, served: Served, tmp_path: Path) -> None:
        """As Markdown or JSON; a file that exists is left alone."""
        markdown, document = tmp_path / "notes.md", tmp_path / "notes.json"
        with chatting(served, tmp_path) as person:
            person.enters("hello")
            person.sees("this chat $")
            for file in (markdown, document):
                person.enters(f"/save {file}")
                person.sees("turns: 1")
            person.enters(f"/save {markdown}")
            person.sees("exists already")
        assert "**You:** hello" in markdown.read_text()
        assert json.loads(document.read_text())["turns"][0]["said"] == "hello"


class TestKept:
    def test_a_session_is_gone_on_with(self, served: Served, tmp_path: Path) -> None:
        """The next chat of that name has the turns of the one before, in a file for the user alone."""
        with chatting(served, tmp_path, "--session", "garden.1") as person:
            person.enters("hello")
            person.sees("this chat $")
        with chatting(served, tmp_path, "--session", "garden.1") as person:
            person.sees("turns: 1")
            person.enters("again")
            person.sees("You said: again")
        assert asked(served)[-1][0] == "hello"
        [file] = (tmp_path / "cortexctl/chats").glob("*.json")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    def test_a_name_that_is_none_is_refused(self, served: Served, tmp_path: Path) -> None:
        """Before anything is asked, or a file is made."""
        with chatting(served, tmp_path, "--session", "../x") as person:
            assert person.sees_the_end() == 2
            assert "--session" in person.screen
        assert list(tmp_path.iterdir()) == []

    def test_one_terminal_at_a_time(self, served: Served, tmp_path: Path) -> None:
        """The second is told so, before it asks anything."""
        with chatting(served, tmp_path, "--session", "mine") as first:
            first.sees("> ")
            with chatting(served, tmp_path, "--session", "mine") as second:
                assert second.sees_the_end() == 1
                assert "another terminal" in second.screen

    def test_a_file_that_is_no_chat_is_left_alone(self, served: Served, tmp_path: Path) -> None:
        """The error names it."""
        file = tmp_path / "cortexctl/chats/mine.json"
        file.parent.mkdir(parents=True)
        for text in ("{", "[]", '{"version": 1}', '{"version": 1, "name": 1, "began": "", "turns": []}'):
            file.write_text(text)
            with chatting(served, tmp_path, "--session", "mine") as person:
                assert person.sees_the_end() == 1
                assert "mine.json" in person.screen
            assert file.read_text() == text

    def test_without_a_name_nothing_is_kept(self, served: Served, tmp_path: Path) -> None:
        """What was said stays in memory."""
        with chatting(served, tmp_path) as person:
            person.enters("hello")
            person.sees("this chat $")
        assert list(tmp_path.iterdir()) == []


class TestScripts:
    def test_lines_from_a_pipe_are_turns(self, served: Served, cortexctl: Cortexctl) -> None:
        """Only answers go to stdout."""
        done = cortexctl("chat", input="first\nsecond\n")
        assert done.returncode == 0
        assert done.stdout.splitlines() == [f"[claude-sonnet-5-5] You said: {word}" for word in ("first", "second")]
        assert done.stderr == ""

    def test_the_status_is_the_last_turns(self, served: Served, cortexctl: Cortexctl) -> None:
        """A script can tell that it failed."""
        assert cortexctl("chat", input="/nonsense\n").returncode == 2
        assert cortexctl("chat", input="/nonsense\nhello\n").returncode == 0

    def test_the_label_is_the_sessions_name(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """So that usage by label says what each chat cost."""
        more = {"XDG_STATE_HOME": str(tmp_path)}
        assert cortexctl("chat", "--session", "known", input="hello\n", more=more).returncode == 0
        rows = cortexctl("usage", "--by", "label", "--label", "chat").stdout
        assert re.search(r"known\s", rows)
