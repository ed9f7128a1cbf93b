"""Which request this terminal session had its last answer from: its id and its bus, and no word of either.

A file of the user's own runtime directory, in memory and gone with the login; without one nothing is remembered.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def remember(bus: str, request_id: str) -> bool:
    """False where there is nowhere to."""
    directory = _directory()
    if directory is None:
        return False
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(directory)
        written = directory / f".{os.getpid()}"
        written.write_text(f"{request_id}\n{bus}")
        written.replace(directory / _session())
    except OSError:
        return False
    return True


def recall(bus: str) -> str:
    """The request's id; empty where none is known."""
    directory = _directory()
    if directory is None:
        return ""
    try:
        request_id, _, asked = (directory / _session()).read_text().partition("\n")
    except (OSError, UnicodeDecodeError):
        return ""
    return request_id if asked == bus else ""


def _directory() -> Path | None:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(runtime, "cortexctl", "last") if runtime.startswith("/") else None


def _session() -> str:
    """Two sessions never have the same one: a process id comes again, with another time of its start."""
    return f"{(leader := os.getsid(0))}-{_started(leader)}"


def _started(pid: int) -> str:
    """When that process began, in the kernel's ticks; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _sweep(directory: Path) -> None:
    """Forget sessions that have ended."""
    for file in directory.iterdir():
        pid, _, started = file.name.partition("-")
        if pid.isdecimal() and started != _started(int(pid)):
            with suppress(OSError):
                file.unlink()
