"""What the newcomer sees: headings, the commands as they are typed, and what came back."""

from __future__ import annotations

import os
import sys
import threading

_BOLD, _DIM, _GREEN, _OFF = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[0m"


class Screen:
    """Prints whole lines, also from several threads; colours only on a terminal."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._lock = threading.Lock()
        self._step = 0

    def heading(self, text: str) -> None:
        self._step += 1
        self._print(f"\n{self._in(_BOLD, f'{self._step}. {text}')}")

    def text(self, text: str) -> None:
        self._print(text)

    def command(self, user: str, line: str) -> None:
        self._print(f"{self._in(_GREEN, f'{user}$')} {line}")

    def output(self, text: str) -> None:
        for line in text.rstrip("\n").splitlines():
            self._print(f"  {line}")

    def live(self, source: str, line: str) -> None:
        """A line that came by itself while something else went on."""
        self._print(self._in(_DIM, f"  ~ {source}: {line}"))

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{_OFF}" if self._colour else text

    def _print(self, line: str) -> None:
        with self._lock:
            print(line, flush=True)
