"""Wrong use of the command line: whole sentences, the nearest names, and the help of the very command last."""

from __future__ import annotations

import click
import pytest

from cortexd.cli.app import cortexctl, main
from cortexd.cli.shown import failures


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == failures.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err


class TestGroups:
    @pytest.mark.parametrize(
        "words", [(), ("config",), ("credentials",), ("learn",), ("ledger",), ("fleet",), ("service",)]
    )
    def test_without_a_command(self, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
        """A group alone shows its help as --help does, with the status of wrong use."""
        shown = said(capsys, *words)
        assert main([*words, "--help"]) == 0
        assert shown == capsys.readouterr().out

    @pytest.mark.parametrize("name", cortexctl.list_commands(click.Context(cortexctl)))
    def test_lists_are_whole(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        """What a command does is said in so few words that no list of commands cuts them off."""
        assert main([name, "--help"]) == 0
        _, _, commands = capsys.readouterr().out.partition("\nCommands:\n")
        assert not [line for line in commands.splitlines() if line.endswith("...")]


class TestLastWords:
    @pytest.mark.parametrize(
        ("words", "command"),
        [
            (("--nosuch",), "cortexctl"),
            (("budgte",), "cortexctl"),
            (("budget", "pause", "1h"), "cortexctl budget pause"),
            (("budget", "set", "--mine", "--day"), "cortexctl budget set"),
            (("--bus", "session", "usage", "--days"), "cortexctl usage"),
            (("run", "--idle", "--", "true"), "cortexctl run"),
            (("run",), "cortexctl run"),
        ],
    )
    def test_help_of_what_was_meant(
        self, words: tuple[str, ...], command: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What is wrong ends as a sentence does; then comes the command whose help says more."""
        wrong, _, step = said(capsys, *words).partition(" Try: ")
        assert step == f"{command} --help\n"
        assert wrong.endswith((".", "?", "?)"))

    @pytest.mark.parametrize("name", cortexctl.list_commands(click.Context(cortexctl)))
    def test_near_names(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Of two letters in the wrong order the right name is told."""
        assert repr(name) in said(capsys, f"{name[:-2]}{name[-1]}{name[-2]}")


class TestValues:
    @pytest.mark.parametrize("value", ["abc", "nan", "inf", "-1", "1,50", "$2"])
    @pytest.mark.parametrize(
        ("words", "option"),
        [
            (("--timeout",), "--timeout"),
            (("ask", "--deadline"), "--deadline"),
            (("ask", "--max-tokens"), "--max-tokens"),
            (("ask", "--max-cost"), "--max-cost"),
            (("batch", "--parallel"), "--parallel"),
            (("budget", "set", "--mine", "--day"), "--day"),
            (("budget", "answer", "today", "--more"), "--more"),
            (("outcome", "ID", "--weight"), "--weight"),
            (("usage", "--days"), "--days"),
            (("watch", "--count"), "--count"),
        ],
    )
    def test_what_is_none(
        self, words: tuple[str, ...], option: str, value: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What is expected is said before what was given, and never in the names of a program's types."""
        shown = said(capsys, *words, value)
        assert f"Invalid value for '{option}': expected a" in shown
        assert f"got {value!r}. Try: " in shown

    @pytest.mark.parametrize("words", [("watch",), ("run",), ("learn", "report")])
    def test_task_types(self, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
        """A task type that is none is refused with those that are, and not waited for."""
        assert "'user_chat'" in said(capsys, *words, "--task", "user_caht")

    @pytest.mark.parametrize("words", [("allow", "0"), ("answer", "today", "--more", "0")])
    def test_nothing_is_no_amount_to_allow(self, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
        """To allow nothing more would change nothing."""
        assert "above 0" in said(capsys, "budget", *words)

    def test_of_any_length(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A number beyond all floats is wrong use too."""
        assert f"got '{'9' * 400}'." in said(capsys, "batch", "--parallel", "9" * 400)
