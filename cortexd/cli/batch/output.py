"""Answers as JSON lines: in a file that can be gone on with at any moment, or to stdout."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from cortexd.cli.batch.items import Item
from cortexd.cli.shown.terminal import print_json
from cortexd.errors import InvalidArgument


class Output(Protocol):
    def has(self, item: Item) -> bool:
        """Whether an earlier run has its answer already; to be asked once, in the order of the input."""
        ...

    def failures(self, item: Item) -> int:
        """How many tries of earlier runs failed."""
        ...

    def write(self, row: dict[str, Any]) -> None: ...

    def close(self, *, finished: bool) -> None: ...


class ToStdout:
    def has(self, item: Item) -> bool:  # noqa: ARG002 - nothing was answered before
        return False

    def failures(self, item: Item) -> int:  # noqa: ARG002
        return 0

    def write(self, row: dict[str, Any]) -> None:
        print_json(row, indent=None)

    def close(self, *, finished: bool) -> None:  # noqa: ARG002
        sys.stdout.flush()


class ToFile:
    """Appends to a file, each line whole before the next is begun.

    With `resume` what is there stays, but for a line that broke off; a finished run then leaves one line for each of
    the input's, in its order. Raises InvalidArgument for a file that is none of ours, OSError.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}  # line's key -> offset and length of the row that counts
        self._failures: dict[str, int] = {}
        self._rows: list[str] = []  # keys in the order of the file
        self._order: list[str] = []  # and of the input
        self._resumed = resume and path.exists()
        self._file: BinaryIO | None = None  # opened with the first row, so that a false start harms nothing
        if self._resumed:
            self._read_rows()

    def has(self, item: Item) -> bool:
        key = _key(item.request_id, item.line)
        if self._resumed:
            self._order.append(key)
        return key in self._places and key not in self._failures

    def failures(self, item: Item) -> int:
        return self._failures.get(item.request_id, 0)

    def write(self, row: dict[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"
        if self._file is None:
            self._file = self._path.open("ab" if self._resumed else "wb")
        if self._resumed:
            self._note(row, self._file.tell(), len(line))
        self._file.write(line)
        self._file.flush()

    def close(self, *, finished: bool) -> None:
        if self._file is not None:
            self._file.close()
        elif finished and not self._resumed:
            self._path.write_bytes(b"")
        if self._resumed and finished and self._order != self._rows:
            self._put_in_order()

    def _read_rows(self) -> None:
        offset = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                self._note(_row(line, f"{self._path}, line {number}"), offset, len(line))
                offset += len(line)
        os.truncate(self._path, offset)

    def _note(self, row: dict[str, Any], offset: int, length: int) -> None:
        key = _key(row["request_id"], row["line"])
        if "error" in row:
            self._failures[key] = row["failures"]
        else:
            self._failures.pop(key, None)
        self._places[key] = (offset, length)
        self._rows.append(key)

    def _put_in_order(self) -> None:
        """Lines that this input does not have come first, then all others as the input has them."""
        ours = set(self._order)
        foreign = [key for key in self._places if key not in ours]
        part = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            with self._path.open("rb") as old, part.open("xb") as new:
                os.fchmod(new.fileno(), os.fstat(old.fileno()).st_mode & 0o777)
                for key in [*foreign, *self._order]:
                    offset, length = self._places[key]
                    old.seek(offset)
                    new.write(old.read(length))
                new.flush()
                os.fsync(new.fileno())
            part.replace(self._path)
        finally:
            part.unlink(missing_ok=True)


def _key(request_id: str, line: int) -> str:
    """A line that could not be asked has no request id; it is known by its number, which is no request id."""
    return request_id or f"line {line}"


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if isinstance(row["request_id"], str) and isinstance(row["line"], int):
            return {"failures": 1, **row}
    except (ValueError, TypeError, LookupError):
        pass
    raise InvalidArgument(f"{where}: is not what cortexctl batch writes; name another --output")
