"""The prompt: words of the command line, and below them what is piped in."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence

from cortexd.errors import TooLarge

_MAX_BYTES = 16 * 1024 * 1024  # more than the service takes; it says what it takes itself


def read_prompt(words: Sequence[str]) -> str:
    """Empty where there is neither. Raises TooLarge."""
    return "\n\n".join(part for part in (" ".join(words), _piped()) if part.strip())


def _piped() -> str:
    """What stdin holds, where that is a pipe, a socket or a file; a terminal and /dev/null are not read."""
    if sys.stdin is None or sys.stdin.closed:
        return ""
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISREG(mode)):
        return ""
    data = sys.stdin.buffer.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise TooLarge(f"stdin: more than {_MAX_BYTES // 2**20} MiB")
    return data.decode("utf-8", "replace")
