"""The ledger's place on disk: a private directory, a private file, and the lock that only one daemon can hold."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from cortexd.errors import ConfigError, LedgerUnavailable

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def claim(path: Path) -> int:
    """Make the directory (0700) and the file (0600) at `path` and take the lock; give the lock's descriptor.

    Nothing is opened before the lock is held: closing a second descriptor would drop SQLite's own locks.
    Raises ConfigError where the place is unsafe or out of reach, LedgerUnavailable where another daemon holds it.
    """
    try:
        _private_directory(path.parent)
        lock = _locked(path)
        try:
            _private_file(path)
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise ConfigError(f"[ledger] path: cannot use {path}: {error.strerror or error}") from error
    return lock


def _private_directory(directory: Path) -> None:
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700, parents=True)
    found = directory.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"[ledger] path: {directory} is not a directory")
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"[ledger] path: {directory} belongs to uid {found.st_uid}; chown it to the daemon's user")
    if found.st_mode & _OTHERS_MAY_WRITE:
        raise ConfigError(f"[ledger] path: other users may write {directory}; run chmod 700 {directory}")


def _locked(path: Path) -> int:
    lock = _open_private(path.with_name(path.name + ".lock"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
        os.close(lock)
        who = f"another cortexd (pid {holder})" if holder.isdigit() else "another cortexd"
        raise LedgerUnavailable(f"{who} holds the ledger {path}; stop it, or set another [ledger] path") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _private_file(path: Path) -> None:
    os.close(_open_private(path))


def _open_private(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor
