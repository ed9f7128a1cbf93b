"""The terminal at which a person can be asked something."""

from __future__ import annotations

import os
import sys

from cortexd.cli.shown.terminal import is_terminal


class NobodyThere(Exception):
    """Nobody can be asked: there is no terminal, or it is another command's now."""

    def __init__(self, *, background: bool = False) -> None:
        super().__init__()
        self.background = background


def open_terminal() -> int:
    """The controlling terminal, where a person sits at it and we are in the foreground; the caller's to close. Raises
    NobodyThere."""
    if not (is_terminal(sys.stdin) or is_terminal(sys.stderr)):
        raise NobodyThere
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise NobodyThere from error
    if os.tcgetpgrp(terminal) == os.getpgrp():
        return terminal
    os.close(terminal)
    raise NobodyThere(background=True)
