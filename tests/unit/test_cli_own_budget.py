"""The own cap on the command line: wrong use, next steps, words for what is held, a panel's lines."""

from __future__ import annotations

import pytest

from cortexd import errors
from cortexd.cli.app import main
from cortexd.cli.panels.formats import sentences
from cortexd.cli.panels.spending import Spending, State, left_of
from cortexd.cli.shown import failures
from cortexd.cli.shown.holds import ended, what_waits
from cortexd.client import BudgetInfo, Hold, HoldEnded
from cortexd.domain.own_cap import HoldAnswer

NOWHERE = "unix:path=/nonexistent/bus"
ONE = Hold(requests=1, task_type="user_chat", provider="claude", model="m", app="editor", may_cost_nano_usd=2 * 10**9)


class TestUse:
    @pytest.mark.parametrize(
        "words",
        [
            ("set", "--mine"),
            ("set", "--mine", "--machine", "--day", "1"),
            ("set", "--machine", "--day", "1", "--at-limit", "ask"),
            ("set", "--mine", "--day", "1", "--at-limit", "perhaps"),
            ("pause", "--for", "a while"),
            ("pause", "--for", "0h"),
            ("pause", "--for", "32d"),
            ("pause", "--for", "1h30m"),
            ("allow", "-1"),
            ("allow",),
            ("answer",),
            ("answer", "perhaps"),
            ("answer", "a", "b", "once"),
            ("answer", "once", "--more", "1"),
        ],
    )
    def test_wrong(self, words: tuple[str, ...]) -> None:
        """Each is refused before anything is asked of the service."""
        assert main(["--bus", NOWHERE, "budget", *words]) == failures.USAGE

    @pytest.mark.parametrize(
        "words",
        [
            ("set", "--mine", "--at-limit", "refuse"),
            ("remove", "--mine"),
            ("pause",),
            ("pause", "--for", "90s"),
            ("pause", "--for", "31d"),
            ("resume",),
            ("allow", "0.5"),
            ("holds",),
            ("answer", "once"),
            ("answer", "id", "today", "--more", "1"),
        ],
    )
    def test_right(self, words: tuple[str, ...]) -> None:
        """Each gets as far as the service, which is not there."""
        assert main(["--bus", NOWHERE, "budget", *words]) == failures.NO_DAEMON


class TestNextSteps:
    @pytest.mark.parametrize(
        ("details", "command"),
        [
            ({"cause": "own_cap"}, "cortexctl budget allow USD"),
            ({"cause": "own_cap", "answer": "refuse"}, "cortexctl budget allow USD"),
            ({"cause": "own_cap", "answer": "none"}, "cortexctl watch"),
            ({"cause": "paused"}, "cortexctl budget resume"),
        ],
    )
    def test_by_keys(self, details: dict[str, str], command: str) -> None:
        """The command that goes on stands last, whatever the sentence says."""
        assert command in failures.in_words(errors.BudgetExceeded("Words.", **details)).removeprefix("Words.")

    def test_after_half_a_sentence(self) -> None:
        """Where there is no cap to allow more of, the way to set one follows."""
        words = failures.in_words(errors.InvalidArgument("half a sentence", cause="no_cap"))
        assert words.startswith("half a sentence. ")
        assert words.endswith("cortexctl budget set --mine --day USD.")

    def test_of_others_there_is_none(self) -> None:
        """Another's limit cannot be raised by such a command."""
        assert failures.in_words(errors.BudgetExceeded("Words.", cause="own_share")) == "Words."


class TestWords:
    def test_one_and_several(self) -> None:
        """Of whom, and what they may cost together."""
        assert what_waits(ONE) == "user_chat (editor, claude m) may cost up to $2.00"
        several = Hold(**{name: getattr(ONE, name) for name in Hold.__slots__} | {"requests": 3})
        assert what_waits(several).startswith("3 requests, ")

    def test_each_end_has_words_of_its_own(self) -> None:
        """One of a newer service is named."""
        ends = [*HoldAnswer, "none", "gone"]
        assert len({ended(HoldEnded("id", end)) for end in ends}) == len(ends)
        assert "tomorrow" in ended(HoldEnded("id", "tomorrow"))


class TestPanel:
    def test_a_pause_has_nothing_left(self) -> None:
        """What is left is of the limit that is one."""
        pause = BudgetInfo(scope="pause", period="day", severity="exceeded", remaining_usd=0.0)
        assert left_of([pause]) is None
        own = BudgetInfo(scope="own", period="day", limit_usd=2.0, remaining_usd=1.5)
        left = left_of([pause, own])
        assert left is not None
        assert (left.usd, left.scope) == (1.5, "own")
        [_today, of_own] = sentences(Spending(State.OK, 0.5, 0.5, left))
        assert of_own == "$1.50 left of the $2.00 that you allow yourself today."
