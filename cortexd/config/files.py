"""The operator's files, found and read: none is skipped because it cannot be read, none counts that others may write.

A file counts where root or the daemon's own user owns it and nobody else may write it; the same goes for its directory,
where a sticky one (/tmp) is right as well: there nobody replaces another's files.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from cortexd.config.problems import Problems
from cortexd.errors import ConfigError, Problem

T = TypeVar("T")
MAX_BYTES = 1024 * 1024
SERVICE_USER = "cortexd"
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_MAY_USE = stat.S_IRWXO | stat.S_IWGRP
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Unusable(Exception):
    """Why a file or directory does not count, and what to do; the path is the caller's to name."""

    def __init__(self, why: str, forbidden: bool = False) -> None:
        super().__init__(why)
        self.forbidden = forbidden

    def of(self, path: Path, words: str = "{}") -> Problem:
        """The problem that this path has."""
        return Problem(str(path), "", words.format(self), self.forbidden)


def find_files(main: Path, required: bool, problems: Problems) -> list[Path]:
    """`main` and conf.d/*.toml beside it, in the order in which they are read; `main` may be absent unless `required`.

    Hidden names are editors' locks and copies, and are left out.
    """
    files: list[Path] = []
    with problems.collected():
        if not is_there(main.parent):
            return [main] if required else []
        _naming(main.parent, refuse_unsafe_directory)
        if required or is_there(main):
            files.append(main)
        drop_ins = main.parent / "conf.d"
        if is_there(drop_ins):
            _naming(drop_ins, refuse_unsafe_directory)
            names = sorted(_naming(drop_ins, os.listdir))
            files += [drop_ins / name for name in names if name.endswith(".toml") and not name.startswith(".")]
    return files


def read_file(file: Path, most: int = MAX_BYTES, private: bool = False) -> bytes:
    """A regular file of at most `most` bytes that no other user may write, nor read where it is `private`.

    Raises Unusable.
    """
    try:
        _refuse_unsafe_file(file, file.stat(), private)  # first: to open a pipe or a device may wait, or do something
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with open(descriptor, "rb") as stream:
            _refuse_unsafe_file(file, os.fstat(descriptor), private)
            data = stream.read(most + 1)
    except OSError as error:
        raise _why_not(file, error) from None
    if len(data) > most:
        raise Unusable(f"is larger than {most} bytes; that is no file of this kind")
    return data


def refuse_unsafe_directory(directory: Path) -> None:
    """Raises Unusable."""
    try:
        found = directory.stat()
    except OSError as error:
        raise _why_not(directory, error) from None
    if not stat.S_ISDIR(found.st_mode):
        raise Unusable("is not a directory; move it away")
    _refuse_foreign(directory, found)
    if found.st_mode & _OTHERS_MAY_WRITE and not found.st_mode & stat.S_ISVTX:
        raise Unusable(f"can be written by other users; run chmod go-w {_quoted(directory)}")


def _refuse_unsafe_file(file: Path, found: os.stat_result, private: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Unusable(f"is {_KINDS.get(stat.S_IFMT(found.st_mode), 'no file')}; only a regular file is read")
    _refuse_foreign(file, found)
    if private and found.st_mode & _OTHERS_MAY_USE:
        raise Unusable(f"is open to other users; make it 0600 (chmod 600 {_quoted(file)})")
    if found.st_mode & _OTHERS_MAY_WRITE:
        raise Unusable(f"can be written by other users; run chmod go-w {_quoted(file)}")


def _refuse_foreign(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in _trusted_users():
        raise Unusable(
            f"belongs to uid {found.st_uid}, not to root or the user of cortexd; run chown root {_quoted(path)}"
        )


def _trusted_users() -> set[int]:
    """Root, who we are, and for root, who looks after the service's files, the service's own user."""
    trusted = {0, os.geteuid()}
    if os.geteuid() == 0:
        import pwd

        with suppress(KeyError):
            trusted.add(pwd.getpwnam(SERVICE_USER).pw_uid)
    return trusted


def is_there(path: Path) -> bool:
    """Whether there is anything of that name, be it a dangling link. Raises ConfigError where nobody can say."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(_why_not(path, error).of(path)) from None
    return True


def _naming(path: Path, work: Callable[[Path], T]) -> T:
    """What `work` gives for the path; where it does not count, ConfigError with the path."""
    try:
        return work(path)
    except Unusable as reason:
        raise ConfigError(reason.of(path)) from None
    except OSError as error:
        raise ConfigError(_why_not(path, error).of(path)) from None


def _why_not(path: Path, error: OSError) -> Unusable:
    if error.errno == errno.ENOENT and path.is_symlink():
        return Unusable("is a link that leads nowhere; mend it or remove it")
    if error.errno == errno.ELOOP:
        return Unusable("is a link that leads in a circle; mend it or remove it")
    forbidden = error.errno == errno.EACCES
    hint = "; try again with sudo, or let the user that runs cortexd read it (ls -ld, chmod)" if forbidden else ""
    return Unusable(f"cannot be read: {error.strerror}{hint}", forbidden)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
