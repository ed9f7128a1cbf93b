"""cortexctl at a terminal: what a person sees, and what a model cannot do to it."""

from __future__ import annotations

import os
import re

from simulated import Behaviour
from tests.bus.served import Served, at_terminal, served_fixture, served_of_module_fixture  # noqa: F401

DIM = re.compile(r"^\x1b\[2m(.*)\x1b\[0m$")
# clear the screen, set the title, 8-bit CSI, backspaces over what stands there, DEL, bell, a lone CR
HOSTILE = "before\x1b[2J\x1b]0;owned\x07 \x9b31m a\x08\x08b\x7f\ttab\nnext\rover \x85 ümlaut \U0001f600"
HARMLESS = (
    "before\u241b[2J\u241b]0;owned\u2407 \\x9b31m a\u2408\u2408b\u2421\ttab\nnext\u240dover \\x85 ümlaut \U0001f600"
)


class TestAsk:
    def test_answer_and_one_dim_line(self, served: Served) -> None:
        """Below the answer one dim line says who answered, with how many tokens, for how much, how fast."""
        served.simulated.behave("claude", Behaviour(input_tokens=1000, output_tokens=100))
        status, screen = at_terminal(served.address, ["ask", "hello"])
        answer, note = screen.splitlines()
        assert (status, answer) == (0, "[claude-sonnet-5-5] You said: hello")
        found = DIM.fullmatch(note)
        assert found
        assert re.fullmatch(r"claude claude-sonnet-5-5, 1000 \+ 100 tokens, \$0\.0030, [\d.]+ m?s", found[1])

    def test_answer_cannot_drive_the_terminal(self, served: Served) -> None:
        """Control characters of an answer are shown as pictures; newline, tab and other scripts stay."""
        served.simulated.behave("claude", Behaviour(reply=HOSTILE))
        status, screen = at_terminal(served.address, ["ask", "hello"])
        assert status == 0
        assert screen.startswith(f"{HARMLESS}\n")

    def test_json_cannot_either(self, served: Served) -> None:
        """JSON at a terminal holds no control character at all."""
        served.simulated.behave("claude", Behaviour(reply=HOSTILE))
        _, screen = at_terminal(served.address, ["ask", "--json", "hello"])
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", screen)
        assert "\\u001b[2J" in screen

    def test_a_silent_pipe_is_announced(self, served: Served) -> None:
        """Who hands on an open pipe is told that it is read, and what ends it."""
        reading, writing = os.pipe()
        announced: list[str] = []

        def write_when_told(screen: str) -> None:
            if not announced and "standard input" in screen and "Ctrl-D" in screen:
                announced.append(screen)
                os.write(writing, b"from the pipe")
                os.close(writing)

        try:
            status, screen = at_terminal(served.address, ["ask"], stdin=reading, shows=write_when_told)
        finally:
            os.close(reading)
        assert (status, len(announced)) == (0, 1)
        assert "You said: from the pipe" in screen

    def test_errors_cannot_either(self, served: Served) -> None:
        """A provider's error text is shown harmless too."""
        for name in ("claude", "kimi_k2"):
            served.simulated.behave(name, Behaviour(status=400, error_message="bad \x1b[2J request"))
        status, screen = at_terminal(served.address, ["ask", "hello"])
        assert status == 5
        assert "\x1b" not in screen
        assert screen.startswith("cortexctl: ")

    def test_notes_the_unusual(self, served: Served) -> None:
        """The line also says who failed before."""
        served.simulated.behave("claude", Behaviour(status=529))
        _, screen = at_terminal(served.address, ["ask", "hello"])
        assert "claude is overloaded" in screen.splitlines()[-1]

    def test_no_color(self, served: Served) -> None:
        """NO_COLOR leaves the line, without escape sequences."""
        _, screen = at_terminal(served.address, ["ask", "hello"], {"NO_COLOR": "1"})
        assert "\x1b" not in screen
        assert len(screen.splitlines()) == 2

    def test_redirected_answer(self, served: Served) -> None:
        """With the answer in a pipe the line still goes to the terminal."""
        reading, writing = os.pipe()
        try:
            status, screen = at_terminal(served.address, ["ask", "hello"], stdout=writing)
            assert os.read(reading, 4096) == b"[claude-sonnet-5-5] You said: hello\n"
        finally:
            os.close(reading)
            os.close(writing)
        assert (status, len(screen.splitlines())) == (0, 1)

    def test_locale_without_the_characters(self, served: Served) -> None:
        """A locale that lacks a character gets a question mark, and no traceback."""
        served.simulated.behave("claude", Behaviour(reply="smile \U0001f600 \x1b[2J"))
        status, screen = at_terminal(served.address, ["ask", "hello"], {"PYTHONIOENCODING": "ascii"})
        assert (status, screen.splitlines()[0]) == (0, "smile ? ?[2J")


class TestTables:
    def test_drawn(self, served: Served) -> None:
        """At a terminal tables are drawn, with a line below the header; NO_COLOR draws them without escapes."""
        for words, expected in ((["providers"], "deepseek"), (["usage"], "kimi_k2"), (["route"], "claude-sonnet-5-5")):
            status, screen = at_terminal(served.address, words, {"NO_COLOR": "1"})
            assert status == 0
            assert "───" in screen
            assert expected in screen
            assert "\x1b" not in screen

    def test_locale_without_line_characters(self, served: Served) -> None:
        """Where the locale has no lines to draw with they are ASCII."""
        status, screen = at_terminal(served.address, ["usage"], {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"})
        assert status == 0
        assert "---" in screen
        assert "?" not in screen
