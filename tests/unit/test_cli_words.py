"""The command line's words: errors, exit statuses, durations, harmless text, tables, help."""

from __future__ import annotations

import io
import json
import re
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd import errors
from cortexd.cli.app import cortexctl, main
from cortexd.cli.batch.items import Defaults, item_of
from cortexd.cli.shown import failures
from cortexd.cli.shown.bars import bar, gauge
from cortexd.cli.shown.live import LiveText
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import neutralised, one_line
from cortexd.cli.talking.answering import in_one_line
from cortexd.client import Attempt, Completion


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (errors.InvalidArgument("x"), 2),
            (errors.UnknownTaskType("x"), 2),
            (errors.AccessDenied("x"), 3),
            (errors.InteractiveAuthorizationRequired("x"), 3),
            (errors.ServiceUnavailable("x"), 4),
            (errors.ProviderFailed("x"), 5),
            (errors.NoProviderAvailable("x"), 5),
            (errors.ProviderNotConfigured("x"), 5),
            (errors.RateLimited("x"), 6),
            (errors.BudgetExceeded("x"), 6),
            (errors.TooLarge("x"), 6),
            (errors.Timeout("x"), 7),
            (errors.Internal("x"), 1),
            (errors.AnswerExpired("x"), 1),
            (errors.LedgerUnavailable("x"), 1),
            (errors.Cancelled("x"), 1),
            (errors.RequestNotFound("x"), 1),
            (errors.RequestIdReused("x"), 1),
        ],
    )
    def test_status(self, error: errors.CortexError, status: int) -> None:
        """Each kind of error has its documented exit status."""
        assert failures.exit_status(error) == status
        assert status in failures.MEANINGS

    def test_details(self) -> None:
        """Details are words: known ones as a sentence would have them, others by their name."""
        assert failures.in_words(errors.RateLimited("slow down", retry_after_ms=3000)) == "slow down (try again in 3 s)"
        assert failures.in_words(errors.AnswerExpired("gone", cost_nano_usd=1_500_000)) == "gone (it cost $0.0015)"
        assert failures.in_words(errors.BudgetExceeded("no", some_limit=5)) == "no (some limit 5)"
        assert failures.in_words(errors.Internal("plain")) == "plain"

    def test_details_that_are_said_already(self) -> None:
        """What the sentence says by itself, and what only programs want, is not said twice."""
        details = {"period": "day", "limit_usd": "1.50", "resets_at": "2026-11-25T00:00:00+00:00"}
        assert failures.in_words(errors.BudgetExceeded("used up", **details)) == "used up"
        denied = errors.AccessDenied("no", action="org.cortexlinux.LLMRouter.manage", cause="refused")
        assert failures.in_words(denied) == "no"
        assert failures.in_words(errors.ProviderFailed("no", tried="claude:timeout", retry_after_ms=2000)) == (
            "no (try again in 2 s)"
        )
        assert failures.local_time("soon") == "soon"

    @pytest.mark.parametrize(
        ("ms", "words"), [(0, "0 ms"), (350, "350 ms"), (1000, "1 s"), (1250, "1.2 s"), (59_900, "59.9 s"),
                          (59_990, "60 s"), (125_000, "2 min 5 s")]
    )  # fmt: skip
    def test_durations(self, ms: int, words: str) -> None:
        """Durations are as exact as a person needs."""
        assert failures.duration(ms) == words


class TestHarmlessText:
    @given(st.text())
    def test_no_control_is_left(self, text: str) -> None:
        """Whatever the text, no control character but newline and tab is left, and nothing else is changed."""
        shown = neutralised(text)
        assert not [char for char in shown if (char < " " or "\x7f" <= char <= "\x9f") and char not in "\n\t"]
        if not [char for char in text if (char < " " or "\x7f" <= char <= "\x9f") and char not in "\n\t"]:
            assert shown == text

    def test_one_line(self) -> None:
        """A table cell is one line."""
        assert one_line("a\nb\t c\x1b[2J") == "a b c\u241b[2J"


class TestBars:
    @pytest.mark.parametrize(
        ("fraction", "drawn"), [(0, ""), (0.0001, "▏"), (0.5, "█████"), (0.55, "█████▌"), (1, "█" * 10), (7, "█" * 10)]
    )
    def test_lengths(self, fraction: float, drawn: str) -> None:
        """A bar is as long as its share, to an eighth of a character, and never invisible unless it is nothing."""
        assert bar(fraction, 10) == drawn
        assert len(gauge(fraction, 10)) == 10


class TestLiveText:
    @given(st.lists(st.text()))
    def test_pieces_are_as_harmless_as_the_whole(self, pieces: list[str]) -> None:
        """However a text is cut, a terminal shows what it would show of the whole."""
        screen = _Screen()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", screen)
            live = LiveText()
            for piece in pieces:
                live.write(piece)
            live.end_line()
        whole = "".join(pieces)
        shown = neutralised(whole)
        assert screen.getvalue() == (shown if not shown or shown.endswith("\n") else f"{shown}\n")


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestBatchItems:
    DEFAULTS = Defaults("user_chat", {})

    def test_same_line_same_id(self) -> None:
        """The same line is the same request wherever it stands, once it has an id; without one its number counts."""
        named, nameless = '{"id": 1, "prompt": "a"}', '{"prompt": "a"}'
        assert item_of(1, named, self.DEFAULTS).request_id == item_of(9, named, self.DEFAULTS).request_id
        assert item_of(1, nameless, self.DEFAULTS).request_id != item_of(9, nameless, self.DEFAULTS).request_id

    def test_other_content_other_id(self) -> None:
        """Two batches whose lines have the ids 1, 2, 3 are not the same requests."""
        ids = {
            item_of(1, text, Defaults(task, {})).request_id
            for text in ('{"id": 1, "prompt": "a"}', '{"id": 1, "prompt": "b"}')
            for task in ("user_chat", "configuration")
        }
        assert len(ids) == 4

    @given(st.text(), st.text(max_size=80) | st.integers() | st.none(), st.integers(0, 30))
    def test_ids_fit(self, run_id: str, own_id: str | int | None, failed: int) -> None:
        """Whatever a line's id is, the request's id is one that the service takes."""
        run_id = "".join(char for char in run_id if char.isascii() and char.isalnum())
        item = item_of(3, json.dumps({"id": own_id, "prompt": "a"}), Defaults("user_chat", {}, run_id))
        assert re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", item.try_id(failed))

    @given(st.text())
    def test_any_line(self, text: str) -> None:
        """No line ends the batch."""
        assert item_of(1, text, self.DEFAULTS).fault is not None


class TestTables:
    def test_columns_are_aligned(self, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        """In a pipe a table is aligned columns, numbers to the right, without trailing blanks."""
        print_table(
            [Column("name"), Column("n", right=True), Column("why")], [["long name", "5", ""], ["b", "12", "x"]]
        )
        assert capsysbinary.readouterr().out == b"name        n  why\nlong name   5\nb          12  x\n"


class TestAskLine:
    def test_unknown_cost(self) -> None:
        """A worst case is called one, and what was left out or not written down is said."""
        done = Completion.of(
            "hello",
            {
                "provider": "kimi_k2",
                "model": "m",
                "cost_nano_usd": 2_000_000_000,
                "cost_known": False,
                "latency_ms": 61_000,
                "attempts": [{"provider": "claude", "outcome": "timeout"}, {"provider": "kimi_k2"}],
                "dropped_options": ["temperature"],
                "finish_reason": "length",
                "settled": False,
            },
        )
        assert done.attempts[0] == Attempt(provider="claude", outcome="timeout")
        assert in_one_line(done) == (
            "kimi_k2 m, 0 + 0 tokens, at most $2.00, 1 min 1 s, claude did not answer in time, without temperature, "
            "ended by length, not in the ledger"
        )

    def test_who_was_slower(self) -> None:
        """A request beside it that was cancelled has not failed."""
        attempts = [{"provider": "claude", "outcome": "cancelled"}, {"provider": "kimi_k2", "outcome": "ok"}]
        assert in_one_line(Completion.of("hello", {"attempts": attempts})).endswith(", quicker than claude")


class TestHelp:
    def test_every_command_has_its_file(self) -> None:
        """Each command that the help lists is in a file of its name, and each file is listed."""
        context = click.Context(cortexctl)
        files = {
            path.stem.replace("_", "-") for path in Path(import_module("cortexd.cli.commands").__path__[0]).glob("*.py")
        }
        assert set(cortexctl.list_commands(context)) == files - {"--init--"}
        for name in cortexctl.list_commands(context):
            command = cortexctl.get_command(context, name)
            assert command is not None
            assert command.name == name

    def test_help_lists_every_status(self, capsys: pytest.CaptureFixture[str]) -> None:
        """cortexctl --help documents the exit statuses."""
        assert main(["--help"]) == 0
        shown = capsys.readouterr().out
        for status, meaning in failures.MEANINGS.items():
            assert f"{status:<4} {meaning}" in shown

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        """--version is one line."""
        assert main(["--version"]) == 0
        assert capsys.readouterr().out.startswith("cortexctl ")

    def test_closed_stdout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A shell that has closed stdout and stderr (>&- 2>&-) changes nothing but that nobody reads it."""
        monkeypatch.setattr(sys, "stdout", None)
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        assert main(["--version"]) == 0
        sys.stdout.close()
