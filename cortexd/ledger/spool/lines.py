"""An append-only file of numbered, checksummed lines, each on the disk before `append` returns.

A line is eight hexadecimal digits (CRC-32 of the rest), its number, and a document without a line break. The first
three are the same: they name the spool and say which number comes next. A line that is torn or damaged is passed over,
the journal says so, and no other gets its number, which may be booked already.
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
_COPIES = 3  # of the header: a line break that is damaged joins two


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
        self._done = self._end = self._told = 0  # offsets
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
            return list(islice(self._numbered(self._done), most))

    def done(self, number: int) -> None:
        """Lines up to this one are needed no longer; with the last of them the file begins anew. Raises OSError."""
        with self._lock:
            for line in self._numbered(self._done):
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
        if header is None or header.number:
            self._set_aside()
            self.name = secrets.token_hex(8)
            self._begin(1)
            return
        name, _, following = header.document.decode("ascii").partition(" ")
        self.name, self._next, self._done, self._waiting, whole = name, int(following), header.end, 0, header.end
        if os.pread(self._file, 1, self._end - 1) != b"\n":
            self._write(b"\n")  # nothing is added to what a crash has left of a line
        for line in self._lines(header.end):
            whole = line.end
            if line.number:
                self._next, self._waiting = line.number + 1, self._waiting + 1
        if whole < self._end:
            self._pass_over(whole)

    def _pass_over(self, start: int) -> None:
        """Go on behind an end in which there is no whole line, with a number that no line in it can have had."""
        damaged = self._end - start
        _log.error("the last %d bytes of %s are torn or damaged; they are passed over", damaged, self.path)
        self._next += damaged  # which each line has more of than one
        if not self._waiting:
            self._begin(self._next)

    def _set_aside(self) -> None:
        """Keep lines of which nobody knows the spool's name, and so whether they are booked."""
        data = os.pread(self._file, self._end, 0)
        if b"\n" not in data:  # new, or emptied by a crash
            return
        kept = self.path.with_name(f"{self.path.name}.damaged-{secrets.token_hex(4)}")
        with open(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as copy:
            copy.write(data)
            copy.flush()
            os.fsync(copy.fileno())
        _log.error("the beginning of %s is damaged; its lines are not booked, and kept in %s", self.path, kept)

    def _begin(self, number: int) -> None:
        self._truncate(0)
        self._told = 0
        self._write(_COPIES * _line(0, f"{self.name} {number}".encode()))
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

    def _numbered(self, start: int) -> Iterator[Line]:
        return (line for line in self._lines(start) if line.number)

    def _lines(self, start: int) -> Iterator[Line]:
        """Those that are whole, from an offset on."""
        rest, at = b"", start
        while piece := os.pread(self._file, _AT_ONCE, at + len(rest)):
            *whole, rest = (rest + piece).split(b"\n")
            for text in whole:
                at += len(text) + 1
                if (line := _parsed(text, at)) is not None:
                    yield line
                elif at > self._told:
                    _log.error("a line of %s before byte %d is damaged; it is passed over", self.path, at)
                    self._told = at


def _line(number: int, document: bytes) -> bytes:
    text = b"%d %s" % (number, document)
    return b"%08x %s\n" % (crc32(text), text)


def _parsed(text: bytes, end: int) -> Line | None:
    checksum, _, rest = text.partition(b" ")
    number, _, document = rest.partition(b" ")
    if checksum != b"%08x" % crc32(rest) or not number.isdigit():
        return None
    return Line(int(number), document, end)
