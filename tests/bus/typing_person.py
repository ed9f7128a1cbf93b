"""A person at a terminal: types when something is on the screen."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.bus.served import START_S, cortexctl_argv, environment

CTRL_C, CTRL_D = "\x03", "\x04"


class Person:
    """`screen`: all that was shown so far."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.screen = ""
        self._process = process
        self._terminal = terminal
        self._read_to = 0

    def sees(self, text: str) -> str:
        """Wait for `text`, and give what was shown before it since the last time."""
        while (at := self.screen.find(text, self._read_to)) < 0:
            assert self._more(), f"never saw {text!r}; on the screen: {self.screen!r}"
        before, self._read_to = self.screen[self._read_to : at], at + len(text)
        return before

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode())

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
        self.screen += data.decode("utf-8", "replace").replace("\r\n", "\n")
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
