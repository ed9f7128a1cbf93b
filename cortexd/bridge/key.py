"""The key of a user's port: a file of theirs that nobody else can read, in a directory that nobody else can write.

Other users are kept out by the kernel's word about each connection. The key keeps out those programs of the same user
that may use the network and not read the home directory, such as a Flatpak's.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

from cortexd.errors import CortexError

_BYTES = 32
_LONGEST = 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Flaw(StrEnum):
    """The detail `cause` of a key that is not used."""

    NO_FILE = "key_no_file"
    OTHERS = "key_others"
    NOT_A_KEY = "key_not_a_key"
    UNREADABLE = "key_unreadable"


_SENTENCES = {
    Flaw.NO_FILE: "There is no key at {path}. Make one: cortexctl bridge port on",
    Flaw.OTHERS: "Others may read or change {path}. Take it away, then: cortexctl bridge port on",
    Flaw.NOT_A_KEY: "{path} holds no key. Take it away, then: cortexctl bridge port on",
    Flaw.UNREADABLE: "{path} cannot be used: {reason}.",
}


def read_key(path: Path) -> str:
    """Raises CortexError where there is none, or another user had a hand in it."""
    with _directory(path) as directory:
        return _read(path, directory)


def make_key(path: Path, *, anew: bool = False) -> str:
    """The key that is there, or a new one. Raises CortexError."""
    with _trouble(path):
        path.parent.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.parent.mkdir(mode=0o700)
    with _directory(path) as directory:
        if not anew and _there(path, directory):
            return _read(path, directory)
        return _write(path, directory)


def _write(path: Path, directory: int) -> str:
    key, unfinished = secrets.token_urlsafe(_BYTES), f".{path.name}-{secrets.token_hex(8)}"
    with _trouble(path):
        handle = os.open(unfinished, _NEW, 0o600, dir_fd=directory)
        try:
            with open(handle, "w") as file:
                file.write(f"{key}\n")
                file.flush()
                os.fsync(handle)
            os.rename(unfinished, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(unfinished, dir_fd=directory)
            raise
    return key


def _read(path: Path, directory: int) -> str:
    with _trouble(path), open(os.open(path.name, _READ, dir_fd=directory), "rb") as file:
        _refuse_others(path, os.fstat(file.fileno()), _OTHERS, stat.S_IFREG)
        key = file.read(_LONGEST).decode("ascii", "replace").strip()
    if len(key) < _BYTES or not key.isprintable() or " " in key:
        raise _flaw(Flaw.NOT_A_KEY, path)
    return key


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    """The key's, open: whatever its name leads to later, it stays this one."""
    with _trouble(path):
        handle = os.open(path.parent, _DIRECTORY)
    try:
        _refuse_others(path.parent, os.fstat(handle), _OTHERS_WRITE, stat.S_IFDIR)
        yield handle
    finally:
        os.close(handle)


def _refuse_others(path: Path, status: os.stat_result, not_allowed: int, kind: int) -> None:
    mine = status.st_uid == os.geteuid() and stat.S_IFMT(status.st_mode) == kind
    if not mine or status.st_mode & not_allowed:
        raise _flaw(Flaw.OTHERS, path)


def _there(path: Path, directory: int) -> bool:
    try:
        os.stat(path.name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _trouble(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise _flaw(Flaw.NO_FILE, path) from None
    except OSError as error:
        raise _flaw(Flaw.UNREADABLE, path, reason=error.strerror or error) from None


def _flaw(flaw: Flaw, path: Path, **values: object) -> CortexError:
    return CortexError(_SENTENCES[flaw].format(path=path, **values), cause=str(flaw))
