"""A settings file on the disk: read whole, and replaced whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cortexd.cli.connecting.obstacles import Obstacle, refusal
from cortexd.config.whole_file import replace

_LONGEST = 4_000_000  # bytes
_PRIVATE = 0o600
_BOM = "\ufeff"
_BACKUP = ".before-cortex"
_NOTHING = "{}[] \t\r\n"  # a text of these alone says nothing


@dataclass(frozen=True, slots=True)
class File:
    """`path`: behind all links. `data`: its bytes, None where there is no file."""

    path: Path
    data: bytes | None
    mode: int = _PRIVATE
    owner: int | None = None

    @property
    def text(self) -> str:
        """Without the mark that some editors begin a file with."""
        return (self.data or b"").decode().removeprefix(_BOM)

    @property
    def backup(self) -> Path:
        return self.path.with_name(f"{self.path.name}{_BACKUP}")


def read(path: Path) -> File:
    """Raises CortexError."""
    with _told(path, Obstacle.NO_FILE):
        real = Path(os.path.realpath(path))
        try:
            known = real.stat()
        except FileNotFoundError:
            return File(real, None)
        if not stat.S_ISREG(known.st_mode):
            raise refusal(Obstacle.NO_FILE, path=path, reason="it is no regular file")
        if known.st_size > _LONGEST:
            raise refusal(Obstacle.NO_FILE, path=path, reason=f"it is longer than {_LONGEST} bytes")
        file = File(real, real.read_bytes(), stat.S_IMODE(known.st_mode), known.st_uid)
    try:
        _ = file.text
    except UnicodeDecodeError as error:
        line = (file.data or b"").count(b"\n", 0, error.start) + 1
        raise refusal(
            Obstacle.UNREADABLE, path=path, form="text", line=f" (line {line})", reason="it is no UTF-8"
        ) from None
    return file


def refuse_unwritable(file: File, by_hand: str) -> None:
    """Raises AccessDenied, or CortexError."""
    if file.owner is not None and file.owner != os.geteuid():
        raise refusal(Obstacle.NOT_YOURS, path=file.path, by_hand=by_hand)
    if not file.mode & stat.S_IWUSR:
        raise refusal(Obstacle.READ_ONLY, path=file.path, by_hand=by_hand)
    there = next(parent for parent in file.path.parents if parent.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise refusal(Obstacle.NOT_WRITTEN, path=file.path, reason=f"{there} is closed to you", by_hand=by_hand)


def write(file: File, text: str, *, copy: bool, by_hand: str) -> None:
    """`text` in the place of what was read; `copy`: which is kept beside it. Raises CortexError."""
    _refuse_changed(file)
    with _told(file.path, Obstacle.NOT_WRITTEN, by_hand):
        file.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if copy and file.data is not None:
            replace(file.backup, file.data, _PRIVATE, file.path.parent)
        _replace(file, text)


def write_back(file: File, text: str, *, created: bool, by_hand: str) -> bool:
    """As it was: without the file where it was `created` and nothing is left in it, and without a copy that says no
    more than it. Whether there is a file. Raises CortexError."""
    _refuse_changed(file)
    with _told(file.path, Obstacle.NOT_WRITTEN, by_hand):
        remains = bool(text.strip(_NOTHING)) or not created
        if remains:
            _replace(file, text)
        else:
            file.path.unlink(missing_ok=True)
        if file.backup.is_file() and (not remains or file.backup.read_bytes() == file.path.read_bytes()):
            file.backup.unlink()
    return remains


def _replace(file: File, text: str) -> None:
    mark = _BOM if (file.data or b"").startswith(_BOM.encode()) else ""
    replace(file.path, f"{mark}{text}".encode(), file.mode, file.path.parent)


def _refuse_changed(file: File) -> None:
    if read(file.path).data != file.data:
        raise refusal(Obstacle.CHANGED_MEANWHILE, path=file.path)


@contextmanager
def _told(path: Path, obstacle: Obstacle, by_hand: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise refusal(obstacle, path=path, reason=error.strerror or error, by_hand=by_hand) from None
