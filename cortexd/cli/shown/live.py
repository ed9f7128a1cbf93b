"""An answer on its way: each piece is on the screen as it comes, as harmless as the whole would be."""

from __future__ import annotations

import sys

from cortexd.cli.shown.terminal import is_terminal, neutralised


class LiveText:
    """Writes pieces of one text to stdout.

    Control characters are made visible one by one, so a sequence that is split over two pieces is none either;
    only a carriage return waits for the next piece, which may begin with its newline.
    """

    def __init__(self) -> None:
        self._at_terminal = is_terminal(sys.stdout)
        self._held = ""
        self._last = "\n"
        self.begun = False

    def write(self, piece: str) -> None:
        self.begun = True
        text = self._held + piece
        self._held = "\r" if self._at_terminal and text.endswith("\r") else ""
        self._put(text[: len(text) - len(self._held)])

    def end_line(self) -> None:
        """What is held back, and a newline where the text has not ended with one."""
        self._put(self._held)
        self._held = ""
        if self._last != "\n":
            self._put("\n")

    def _put(self, text: str) -> None:
        if not text:
            return
        self._last = text[-1]
        if self._at_terminal:
            sys.stdout.write(neutralised(text))
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.flush()
