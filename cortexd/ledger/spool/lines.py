"""An append-only file of numbered, checksummed lines, each on the disk before `append` returns.

A line is eight hexadecimal digits (CRC-32 of the rest), its number, and a document without a line break. The first
names the spool and says which number comes next. What a crash has left of the last line is dropped; a line that is
damaged is passed over, and the journal says so.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from cortexd.errors import LedgerUnavailable

_log = logging.getLogger("cortexd.ledger")
_AT_ONCE = 256 * 1024  # bytes


class Line(NamedTuple):
    """`end`: where the next one begins."""

    number: int
    document: bytes
    end: int


class SpoolFile:
    """One process has it at a time; its threads may share it. `name` stays for as long as the file does."""

    def __init__(self, path: Path) -> None:
        """Make the file where there is none. Raises LedgerUnavailable where another daemon has it, OSError."""
        self.path = path
        self.name = ""
        self._next, self._waiting = 1, 0
        self._done = self._end = 0  # offsets
        self._lock = threading.Lock()
        with suppress(FileExistsError):
            path.parent.mkdir(mode=0o700, parents=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._claim()
            self._load()
        except BaseException:
            os.close(self._file)
            raise

    @property
    def size(self) -> int:
        """In bytes."""
        return self._end

    @property
    def waiting(self) -> int:
        """Lines that are not done."""
        return self._waiting

    def append(self, documents: Sequence[bytes]) -> int:
        """Add lines; the number of the first. Raises OSError, and has added none then."""
        with self._lock:
            if not self._end:  # it could not be begun anew
                self._begin(self._next)
            first = self._next
            self._write(b"".join(_line(first + place, document) for place, document in enumerate(documents)))
            self._next += len(documents)
            self._waiting += len(documents)
            return first

    def read(self, most: int) -> list[Line]:
        """The oldest lines that are not done."""
        with self._lock:
            return list(islice(self._lines(self._done), most))

    def done(self, number: int) -> None:
        """Lines up to this one are needed no longer; with the last of them the file begins anew. Raises OSError."""
        with self._lock:
            for line in self._lines(self._done):
                if line.number > number:
                    return
                self._done = line.end
                self._waiting -= 1
            self._begin(self._next)

    def close(self) -> None:
        """What waits stays for whoever opens it next."""
        with self._lock:
            descriptor, self._file = self._file, -1  # or a late line would go to whatever has its number next
            os.close(descriptor)

    def _claim(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerUnavailable(f"another cortexd has {self.path}") from None
        os.fchmod(self._file, 0o600)

    def _load(self) -> None:
        self._end = os.fstat(self._file).st_size
        header = next(self._lines(0), None)
        if header is None or header.number:  # new, or emptied by a crash
            self.name = secrets.token_hex(8)
            self._begin(1)
            return
        name, _, following = header.document.decode("ascii").partition(" ")
        self.name, self._next, self._done, self._waiting, end = name, int(following), header.end, 0, header.end
        for line in self._lines(header.end):
            self._next, self._waiting, end = line.number + 1, self._waiting + 1, line.end
        self._truncate(end)

    def _begin(self, number: int) -> None:
        self._truncate(0)
        self._write(_line(0, f"{self.name} {number}".encode()))
        self._next, self._done, self._waiting = number, self._end, 0

    def _write(self, lines: bytes) -> None:
        try:
            written = 0
            while written < len(lines):
                written += os.pwrite(self._file, lines[written:], self._end + written)
            os.fdatasync(self._file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise
        self._end += len(lines)

    def _truncate(self, end: int) -> None:
        os.ftruncate(self._file, end)
        os.fdatasync(self._file)
        self._end = end

    def _lines(self, start: int) -> Iterator[Line]:
        """Those that are whole, from an offset on."""
        rest, at = b"", start
        while piece := os.pread(self._file, _AT_ONCE, at + len(rest)):
            *whole, rest = (rest + piece).split(b"\n")
            for text in whole:
                at += len(text) + 1
                if (line := _parsed(text, at)) is not None:
                    yield line
                else:
                    _log.error("a line of %s before byte %d is damaged; it is passed over", self.path, at)


def _line(number: int, document: bytes) -> bytes:
    text = b"%d %s" % (number, document)
    return b"%08x %s\n" % (crc32(text), text)


def _parsed(text: bytes, end: int) -> Line | None:
    checksum, _, rest = text.partition(b" ")
    number, _, document = rest.partition(b" ")
    if checksum != b"%08x" % crc32(rest) or not number.isdigit():
        return None
    return Line(int(number), document, end)
