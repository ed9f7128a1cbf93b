"""A prompt does not stay on this process's command line.

There every user could read it for as long as the answer takes (ps), and polkit writes its caller's command line into
the journal when it has asked for a password.
"""

from __future__ import annotations

import os
from pathlib import Path

_WITH_CONTENT = (b"ask", b"chat", b"route", b"outcome")
_ARG_START, _ARG_END = 45, 46  # of the fields of /proc/PID/stat that follow the name: proc(5) counts from 3


def hide_content() -> None:
    """Blank what follows the command's name where that may be content. Best effort: some kernels do not let us."""
    try:
        shown = Path("/proc/self/cmdline").read_bytes()
        kept = _kept(shown.split(b"\0"))
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        if kept and end - start == len(shown):
            _blank(start + kept, end)
    except OSError:
        return


def _kept(words: list[bytes]) -> int:
    """How many bytes stay: up to the name of a command whose arguments are content; 0 for any other command."""
    for index, word in enumerate(words):
        if word in _WITH_CONTENT:
            return sum(len(word) + 1 for word in words[: index + 1])
    return 0


def _blank(start: int, end: int) -> None:
    memory = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(memory, bytes(end - start), start)
    finally:
        os.close(memory)
