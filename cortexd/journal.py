"""Log lines on stderr as journald takes them: "<PRIORITY>logger: text", every line of a traceback included."""

from __future__ import annotations

import logging
import sys

_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


class JournalFormatter(logging.Formatter):
    """Priorities as in sd-daemon(3), so that `journalctl -p err` finds errors."""

    def format(self, record: logging.LogRecord) -> str:
        priority = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        text = f"{record.name}: {super().format(record)}"
        return "\n".join(priority + line for line in text.splitlines())


def set_up_logging(level: str) -> None:
    """Log to stderr: with priorities for journald, with plain level names on a terminal."""
    handler = logging.StreamHandler(sys.stderr)
    on_terminal = sys.stderr.isatty()
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(plain if on_terminal else JournalFormatter("%(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # libraries: only what matters, never a request's content
    logging.getLogger("cortexd").setLevel(level.upper())
