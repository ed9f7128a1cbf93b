"""What a person types: a line with editing and earlier lines where that is a terminal, several where each ends with a
backslash."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from cortexd.cli.shown.terminal import is_terminal

_PROMPT, _MORE = "> ", "… "


def at_terminal() -> bool:
    return is_terminal(sys.stdin) and is_terminal(sys.stdout)


def prepare(words: Callable[[str], Sequence[str]]) -> None:
    """Lines can be edited, and Tab completes them: `words` gives what may stand for what has been typed so far."""
    if sys.stdin is not None and hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")
    if not at_terminal():
        return
    import readline

    def complete(_text: str, state: int) -> str | None:
        found = words(readline.get_line_buffer())
        return found[state] if state < len(found) else None

    readline.set_completer_delims("")
    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")


def read() -> str:
    """What was typed next. Raises EOFError, KeyboardInterrupt."""
    asks = at_terminal()
    lines = [input(_PROMPT if asks else "")]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        try:
            lines.append(input(_MORE if asks else ""))
        except EOFError:
            break
    return "\n".join(lines)
