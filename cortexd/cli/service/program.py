"""The daemon of this very installation, and whether its unit could run it: what its sandbox and its user can read."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import cortexd
from cortexd.cli.service.obstacles import Obstacle, refusal

# ProtectHome= and PrivateTmp= of the unit
HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - named, not used
_NAME = "cortexd"
_SYSTEMD_RUNS = Path("/run/systemd/system")
_SYSTEMD_VERSION = ("systemctl", "--version")
_OLDEST_SYSTEMD = 250  # whose LoadCredential= takes a directory
_ANSWER_S = 10.0
_SPEAKABLE = re.compile(rb"[A-Za-z0-9_./+~@:,=-]+")
_FIRST_UID_OF_PEOPLE = 1000  # a group of the system's own, as staff of /usr/local, counts as root's
_READ = {True: stat.S_IROTH | stat.S_IXOTH, False: stat.S_IROTH}


def find_program() -> Path:
    """The daemon beside cortexctl, or of this virtual environment. Raises CortexError."""
    command = Path(sys.argv[0]).resolve()
    for program in (command.with_name(_NAME), Path(sys.prefix) / "bin" / _NAME):
        if program.is_file():
            return program
    raise refusal(Obstacle.NO_PROGRAM, path=command)


def refuse_unusable(program: Path) -> None:
    """Raises CortexError where the unit could not start this program, or others than root could change it."""
    if not program.is_file():
        raise refusal(Obstacle.NO_PROGRAM, path=program)
    check(_parts(program))


def refuse_unspeakable(program: Path) -> None:
    """Raises CortexError where the units could not name it."""
    if not (program.is_absolute() and _SPEAKABLE.fullmatch(bytes(program))):
        raise refusal(Obstacle.ODD_PATH, path=program)


def check(
    parts: Iterable[Path], hidden: tuple[Path, ...] = HIDDEN, owner: int = 0, whole: Path = Path(sys.prefix)
) -> None:
    """Each of `parts` and the directories above it. `whole`: what is to be mended at once. Raises CortexError."""
    checked: set[Path] = set()
    for part in dict.fromkeys(part.resolve() for part in parts if part.exists()):
        for directory in hidden:
            if directory == part or directory in part.parents:
                raise refusal(Obstacle.HIDDEN, directory=directory, path=part)
        for path in (*reversed(part.parents), part):
            if path not in checked:
                checked.add(path)
                _check_one(path, owner, whole if whole in path.parents else path)


def _check_one(path: Path, owner: int, whole: Path) -> None:
    status = path.stat()
    is_directory = stat.S_ISDIR(status.st_mode)
    if _others_may_write(status, owner):
        raise refusal(Obstacle.WRITABLE, path=path, whole=whole)
    if status.st_mode & _READ[is_directory] != _READ[is_directory]:
        raise refusal(Obstacle.CLOSED, path=path, whole=whole)


def _others_may_write(status: os.stat_result, owner: int) -> bool:
    if status.st_uid not in (0, owner):
        return True
    if status.st_mode & stat.S_ISVTX:  # as /tmp: nobody may replace another's
        return False
    by_group = bool(status.st_mode & stat.S_IWGRP) and status.st_gid >= _FIRST_UID_OF_PEOPLE
    return by_group or bool(status.st_mode & stat.S_IWOTH)


def _parts(program: Path) -> Iterator[Path]:
    """All that it takes to run: the script, the interpreter with its library, our modules and those beside them."""
    yield from (program, Path(sys.executable), Path(sys.prefix), Path(os.__file__), Path(cortexd.__file__).parent)
    yield from (Path(entry) for entry in sys.path if entry and os.path.exists(entry))
    if sys.prefix != sys.base_prefix:  # a virtual environment, all of it
        yield from Path(sys.prefix, "bin").iterdir()
        yield from Path(sys.prefix, "lib").rglob("*")


def refuse_systemd() -> None:
    """Raises CortexError where there is none, or one that does not know what the unit needs."""
    if not _SYSTEMD_RUNS.is_dir():
        raise refusal(Obstacle.NO_SYSTEMD)
    said = subprocess.run(  # noqa: S603 - fixed words
        _SYSTEMD_VERSION, capture_output=True, text=True, timeout=_ANSWER_S, check=False
    )
    words = said.stdout.split()
    if len(words) > 1 and words[1].isdecimal() and int(words[1]) < _OLDEST_SYSTEMD:
        raise refusal(Obstacle.OLD_SYSTEMD, needed=_OLDEST_SYSTEMD, version=words[1])
