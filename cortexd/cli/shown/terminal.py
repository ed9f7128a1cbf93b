"""Text to stdout and stderr. A terminal must not be driven by what a model wrote; a pipe gets the very bytes."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any, TextIO

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_C0_PICTURES = 0x2400


def neutralised(text: str) -> str:
    """`text` with each control character but newline and tab as a visible character that does nothing."""
    return _CONTROLS.sub(_picture, text.replace("\r\n", "\n"))


def _picture(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return chr(_C0_PICTURES + code)
    return "\u2421" if code == 0x7F else f"\\x{code:02x}"


def one_line(text: str) -> str:
    """`text` for a table cell or a status line."""
    return " ".join(neutralised(text).split())


def is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def may_style(stream: TextIO) -> bool:
    """Whether escape sequences of our own are welcome there: a terminal that has them, and no NO_COLOR."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def prepare_streams() -> None:
    """No character that the locale lacks may end the program, nor a stream that the shell has closed."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - it lives as long as we do
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def print_text(text: str) -> None:
    """Write to stdout and end the line: made harmless on a terminal, as UTF-8 bytes otherwise."""
    line = text if text.endswith("\n") else f"{text}\n"
    if is_terminal(sys.stdout):
        sys.stdout.write(neutralised(line))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(line.encode("utf-8", "replace"))
    sys.stdout.flush()


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """One JSON document. What a terminal could take for a command is escaped, which JSON allows."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    print_text(re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found.group()):04x}", text))


def print_note(text: str) -> None:
    """A dim line on stderr where that is a terminal, nothing otherwise."""
    if not is_terminal(sys.stderr):
        return
    line = one_line(text)
    sys.stderr.write(f"\x1b[2m{line}\x1b[0m\n" if may_style(sys.stderr) else f"{line}\n")
    sys.stderr.flush()


def print_notice(text: str) -> None:
    """A line on stderr that a script must not miss either, as it is not an error."""
    if is_terminal(sys.stderr):
        print_note(text)
    else:
        print_error(text)


def print_error(text: str) -> None:
    """`cortexctl: …` on stderr."""
    sys.stderr.write(f"cortexctl: {neutralised(text)}\n")
    sys.stderr.flush()
