"""The prompt: words of the command line, and below them what is piped in."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cortexd.cli.shown.terminal import print_note
from cortexd.domain.images import image_type
from cortexd.errors import TooLarge

_MAX_BYTES = 16 * 1024 * 1024  # more than the service takes; it says what it takes itself
_SILENT_S = 0.5  # a program that pipes something in has usually begun by then
_WAITING = "reading the prompt from standard input; end with Ctrl-D"


@dataclass(frozen=True, slots=True)
class Prompt:
    """`attached`: what was piped in and is no text, to be taken as a file; empty where there is none."""

    text: str
    attached: bytes = b""


def read_prompt(words: Sequence[str]) -> Prompt:
    """The text is empty where there is neither. Raises TooLarge."""
    piped, said = _piped(), " ".join(words)
    text = _text(piped)
    if text is None:
        return Prompt(said, piped)
    return Prompt("\n\n".join(part for part in (said, text) if part.strip()))


def _text(data: bytes) -> str | None:
    """Text of whatever encoding, a byte that is none in it as U+FFFD; None for an image and other binary data."""
    return None if image_type(data) or b"\0" in data else data.decode("utf-8", "replace")


def _piped() -> bytes:
    """What stdin holds, where that is a pipe, a socket or a file; a terminal and /dev/null are not read."""
    if sys.stdin is None or sys.stdin.closed:
        return b""
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISREG(mode)):
        return b""
    # A pipe that nobody closes, as some editors and job runners hand it on, would look like a hang.
    if not select.select([sys.stdin], [], [], _SILENT_S)[0]:
        print_note(_WAITING)
    data = sys.stdin.buffer.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise TooLarge(f"stdin: more than {_MAX_BYTES // 2**20} MiB")
    return data
