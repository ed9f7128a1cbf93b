"""The ledger's place on disk: a private directory, a private file, and the lock that only one daemon can hold.

The lock file holds the pid of who took it last. It is empty until there is a ledger beside it: so it remembers one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cortexd.errors import AccessDenied, ConfigError, InvalidArgument, LedgerUnavailable
from cortexd.ledger.engines.engine import TemporarilyUnavailable

_MAX_PID_BYTES = 20
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def claim(path: Path) -> int:
    """Make the directory (0700) and the file (0600) at `path` and take the lock; give the lock's descriptor.

    Nothing is opened before the lock is held: closing a second descriptor would drop SQLite's own locks.
    Raises ConfigError where the place is unsafe or out of reach, LedgerUnavailable where another daemon holds it or
    the ledger that was here is gone, TemporarilyUnavailable where the disk is full.
    """
    try:
        _private_directory(path.parent)
        lock = _locked(path)
        try:
            refuse_gone(path)
            _private_file(path)
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        kind = TemporarilyUnavailable if error.errno in _PASSING else ConfigError
        raise kind(f"[ledger] path: cannot use {path}: {error.strerror or error}") from error
    return lock


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """The lock is held meanwhile, as `claim` takes it."""
    descriptor = claim(path)
    try:
        yield
    finally:
        os.close(descriptor)


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


def remember(path: Path) -> None:
    """Note beside the ledger that it is there, and who has it; the lock is held. Where somebody has removed its file
    meanwhile, the next start notes it."""
    try:
        lock = os.open(_lock_file(path), os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        _write_pid(lock)
    finally:
        os.close(lock)


def refuse_to_begin_anew(path: Path) -> None:
    """Raise LedgerUnavailable where there was a ledger: its lock file says so, or its -wal alone is left."""
    if _was_here(path) or (_is_gone(path) and _size(path.with_name(path.name + "-wal"))):
        raise LedgerUnavailable(
            f"the ledger {path} is missing or empty, and there was one: budgets would begin at zero. Put it back or "
            f"restore a backup; to begin anew, run cortexctl ledger begin-anew"
        )


def refuse_gone(path: Path) -> None:
    """The same, where there is nothing at `path` now."""
    if _is_gone(path):
        refuse_to_begin_anew(path)


def forget(path: Path) -> None:
    """Remove what is left of a ledger that is gone. Raises InvalidArgument where it is not."""
    try:
        lock = os.open(_lock_file(path), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        _refuse_there(path)  # as a copy is, which never had a daemon
        raise InvalidArgument(f"there was no ledger at {path}; a daemon begins one") from None
    except PermissionError:
        raise AccessDenied(f"{path} is for root and cortexd's own user; try again with sudo") from None
    try:
        _take(lock, path)
        _refuse_there(path)
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def _refuse_there(path: Path) -> None:
    if not _is_gone(path):
        raise InvalidArgument(f"{path} is there; to begin anew, move it away first")


@contextmanager
def held(path: Path) -> Iterator[None]:
    """No daemon has the ledger meanwhile. Where none ever had, as of a copy, none is kept away."""
    try:
        lock = os.open(_lock_file(path), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield
        return
    except PermissionError:
        raise AccessDenied(f"{path} is for root and cortexd's own user; try again with sudo") from None
    try:
        _take(lock, path)
        yield
    finally:
        os.close(lock)


def _is_gone(path: Path) -> bool:
    return not _size(path)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _was_here(path: Path) -> bool:
    return bool(_size(_lock_file(path)))


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _locked(path: Path) -> int:
    lock = _open_private(_lock_file(path))
    try:
        _take(lock, path)
    except BaseException:
        os.close(lock)
        raise
    if _holder(lock):
        _write_pid(lock)
    return lock


def _write_pid(lock: int) -> None:
    os.ftruncate(lock, os.pwrite(lock, f"{os.getpid()}\n".encode(), 0))  # never empty in between


def _take(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(lock)
        who = f"another cortexd (pid {holder})" if holder.isdigit() else "another cortexd"
        raise LedgerUnavailable(f"{who} holds the ledger {path}; stop it, or set another [ledger] path") from None


def _holder(lock: int) -> str:
    return os.pread(lock, _MAX_PID_BYTES, 0).decode("ascii", "replace").strip()


def _private_file(path: Path) -> None:
    os.close(_open_private(path))


def _open_private(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor
