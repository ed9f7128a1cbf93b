"""A person at a terminal: types when something is on the screen."""

from __future__ import annotations

import codecs
import os
import pty
import select
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bus.served import START_S, cortexctl_argv, environment
from tests.eventually import assert_eventually

CTRL_C, CTRL_D = "\x03", "\x04"
_ASLEEP = 20  # looks in a row, as it sleeps for a moment at other places too


class Person:
    """`screen`: all that was shown so far."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.screen = ""
        self._process = process
        self._terminal = terminal
        self._read_to = 0
        self._decoded = codecs.getincrementaldecoder("utf-8")("replace").decode

    def sees(self, text: str) -> str:
        """Wait for `text`, and give what was shown before it since the last time."""
        while (at := self.screen.find(text, self._read_to)) < 0:
            assert self._more(), f"never saw {text!r}; on the screen: {self.screen!r}"
        before, self._read_to = self.screen[self._read_to : at], at + len(text)
        return before

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def interrupts(self) -> None:
        """Presses Ctrl-C once the program waits for a key: between showing its prompt and waiting CPython's readline
        notes a signal, and goes on waiting."""
        stat = Path(f"/proc/{self._process.pid}/stat")
        for _ in range(_ASLEEP):
            assert_eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S", START_S, "it to wait")
        self.types(CTRL_C)

    def enters(self, text: str) -> None:
        """A line, at the prompt."""
        self.sees("> ")
        self.types(f"{text}\n")

    def sees_the_end(self) -> int:
        """The exit status."""
        while self._more():
            pass
        return self._process.wait(START_S)

    def _more(self) -> bool:
        if not select.select([self._terminal], [], [], START_S)[0]:
            return False
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # the last process has left the terminal
            return False
        self.screen = (self.screen + self._decoded(data)).replace("\r\n", "\n")
        return bool(data)


@contextmanager
def person_at(address: str, words: Sequence[str], more: Mapping[str, str] | None = None) -> Iterator[Person]:
    """At `cortexctl WORDS…`, on a terminal that is 200 columns wide."""
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (50, 200))
    argv = ["setsid", "--ctty", *cortexctl_argv(address, *words)]
    process = subprocess.Popen(
        argv, env=environment({"TERM": "dumb", **(more or {})}), stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    try:
        yield Person(process, screen)
    finally:
        os.close(screen)
        process.kill()
        process.wait(START_S)
