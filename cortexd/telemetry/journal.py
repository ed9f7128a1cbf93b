"""Log lines for journald: entries with fields over its socket where it listens, else lines "<PRIORITY>logger: text".

A record's `extra={"fields": {"CORTEXD_UID": 1000}}` become fields of its entry: journalctl CORTEXD_UID=1000.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
_MAX_TEXT_BYTES = 48 * 1024  # as journald's own LineMax
_MAX_VALUE_BYTES = 256


class JournalFormatter(logging.Formatter):
    """Priorities as in sd-daemon(3), so that `journalctl -p err` finds errors; every line of a traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        priority = f"<{_priority(record)}>"
        traced = record.exc_info or record.exc_text or record.stack_info
        text = f"{record.name}: {super().format(record) if traced else record.getMessage()}"
        return "\n".join(priority + line for line in text.splitlines())


class JournalHandler(logging.Handler):
    """Sends one datagram per record and never waits; what journald does not take at once goes to `otherwise`."""

    def __init__(self, path: Path, otherwise: logging.Handler) -> None:
        super().__init__()
        self._otherwise = otherwise
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._path = str(path)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._socket.sendto(_entry(record, self.format(record)), self._path)
        except OSError:
            self._otherwise.handle(record)
        except Exception:  # noqa: BLE001 - as every handler: logging ends nobody's work
            self.handleError(record)

    def close(self) -> None:
        self._socket.close()
        super().close()


def set_up_logging(level: str, journal: Path = SOCKET) -> None:
    """Log to the journal where stderr leads there, else to stderr: with plain level names on a terminal."""
    stderr = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    stderr.setFormatter(plain if sys.stderr.isatty() else JournalFormatter())
    _note_no_more_than_is_told()
    root = logging.getLogger()
    root.handlers[:] = [JournalHandler(journal, stderr) if _leads_to_journal(journal) else stderr]
    root.setLevel(logging.WARNING)  # libraries: only what matters, never a request's content
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # its warnings are of connections that the ledger tells of
    logging.getLogger("cortexd").setLevel(level.upper())


def _note_no_more_than_is_told() -> None:
    """Of a record: by which line and thread it was written costs a quarter of it, and none of ours says so."""
    logging._srcfile = None  # as the documentation has it ("Optimization")
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    if sys.version_info >= (3, 12):
        logging.logAsyncioTasks = False


def _leads_to_journal(journal: Path) -> bool:
    """Whether stderr is what systemd names in $JOURNAL_STREAM ("device:inode", systemd.exec(5)), and journald there."""
    try:
        stderr = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}" and journal.is_socket()


def _priority(record: logging.LogRecord) -> int:
    return _PRIORITIES.get(record.levelno, 6)


def _entry(record: logging.LogRecord, text: str) -> bytes:
    """In systemd's native journal protocol. The text is cut at 48 KiB, a field's value at 256 bytes."""
    given: Mapping[str, object] = getattr(record, "fields", {})
    fields = {
        "PRIORITY": _priority(record),
        "SYSLOG_IDENTIFIER": "cortexd",
        "CORTEXD_LOGGER": record.name,
        **{name: value for name, value in given.items() if value is not None},
    }
    lines = [_field(name, _cut(value, _MAX_VALUE_BYTES)) for name, value in fields.items()]
    return b"".join([_field("MESSAGE", _cut(text, _MAX_TEXT_BYTES)), *lines])


def _field(name: str, value: bytes) -> bytes:
    """NAME=value, or with its length before it where it has several lines."""
    if b"\n" not in value:
        return b"%s=%s\n" % (name.encode(), value)
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(value)), value)


def _cut(value: object, most: int) -> bytes:
    return str(value).encode("utf-8", "replace")[:most].decode("utf-8", "ignore").encode()
