"""What a process is called, by the system's word: a Flatpak, a Snap, a desktop's app, or its executable.

Sources: proc(5), https://docs.flatpak.org (/.flatpak-info), https://systemd.io/DESKTOP_ENVIRONMENTS (app-*.scope).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from configparser import ConfigParser, Error
from contextlib import suppress
from pathlib import Path

from cortexd.domain.apps import Program, Source, program_of_command

PROC = Path("/proc")
_MOST_BYTES = 64 * 1024
_SNAP = re.compile(r"snap\.(?P<name>[a-z0-9-]+)\.")
# app[-LAUNCHER]-ID-RANDOM.scope, app[-LAUNCHER]-ID[@RANDOM].service; a - within the id is written \x2d
_APP = re.compile(r"app-(?:(?P<launcher>[^-@]+)-)?(?P<id>[^@]+?)(?:-[^-@]+\.scope|(?:@[^@]*)?\.service)")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")
_TTY, _STARTED = 4, 19  # in stat, behind the name


def program_of(pid: int, proc: Path = PROC) -> Program | None:
    """None where nobody can say, as when it has left. What another process with its number says is not taken for its
    own."""
    process = proc / str(pid)
    try:
        before = _stat(process)
        in_terminal = before[_TTY] != "0"
        found = next(_said(process, in_terminal=in_terminal), None)
        return found if _stat(process)[_STARTED] == before[_STARTED] else None
    except (OSError, IndexError):
        return None


def _said(process: Path, *, in_terminal: bool) -> Iterator[Program]:
    """The best word first. An app that is a terminal, or has one in it, is not what runs there."""
    if name := _flatpak(process):
        yield Program(name, Source.FLATPAK)
    segments = _text(process / "cgroup").replace("\n", "/").split("/")
    confined = _SNAP.match(_text(process / "attr/current"))
    if confined := confined or next(filter(None, map(_SNAP.match, segments)), None):
        yield Program(confined["name"], Source.SNAP)
    if not in_terminal:
        yield from _of_units(segments)
    yield from _of_executable(process)


def _flatpak(process: Path) -> str:
    if not (text := _text(process / "root/.flatpak-info")):
        return ""
    info = ConfigParser(interpolation=None, strict=False)
    with suppress(Error):
        info.read_string(text)
    return info.get("Application", "name", fallback="")


def _of_units(segments: list[str]) -> Iterator[Program]:
    for unit in filter(None, map(_APP.fullmatch, reversed(segments))):
        name = _ESCAPED.sub(lambda code: chr(int(code[1], 16)), unit["id"])
        yield Program(name, Source.FLATPAK if unit["launcher"] == "flatpak" else Source.SYSTEMD)


def _of_executable(process: Path) -> Iterator[Program]:
    """Where its executable may not be seen there is the name that it gives itself."""
    try:
        executable = os.readlink(process / "exe").removesuffix(" (deleted)")
    except OSError:
        if name := _text(process / "comm").strip():
            yield Program(name, Source.TITLE)
        return
    words = _text(process / "cmdline").rstrip("\0").split("\0")
    yield program_of_command(executable, words if words != [""] else ())


def _stat(process: Path) -> list[str]:
    """The fields behind the name, which may hold anything. Raises OSError."""
    return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()


def _text(file: Path) -> str:
    """The beginning of a regular file; "" where there is none, or none that may be read. Never waits for a pipe."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW)
        with open(descriptor, "rb") as stream:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return stream.read(_MOST_BYTES).decode(errors="replace") if regular else ""
    except OSError:
        return ""
