"""The sockets that a bridge listens on: handed over by systemd (sd_listen_fds(3)), or made for it."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from cortexd.errors import CortexError

_FIRST_FD = 3
_BACKLOG = 128
_ANSWER_S = 5.0


def handed_over() -> list[socket.socket]:
    """Those of systemd; none where it did not start this process."""
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()):
        return []
    number = int(os.environ.pop("LISTEN_FDS", "0"))
    os.environ.pop("LISTEN_FDNAMES", None)
    sockets = [socket.socket(fileno=_FIRST_FD + index) for index in range(number)]
    for one in sockets:
        one.set_inheritable(False)
    return sockets


def at_path(path: Path) -> socket.socket:
    """A Unix socket for its user alone, in place of one that nobody serves any more. Raises CortexError."""
    try:
        _clear(path)
        one = _bound(path)
    except OSError as error:
        raise CortexError(f"{path} cannot be a socket: {error.strerror or error}.") from None
    one.listen(_BACKLOG)
    return one


def _bound(path: Path) -> socket.socket:
    """Raises OSError."""
    one, before = socket.socket(socket.AF_UNIX), os.umask(0o177)
    try:
        one.bind(str(path))
    except OSError:
        one.close()
        raise
    finally:
        os.umask(before)
    return one


def at_port(port: int) -> socket.socket:
    """On the loopback; 0 for any that is free. Raises CortexError."""
    try:
        return socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
    except OSError as error:
        raise CortexError(f"Nobody can listen on port {port}: {error.strerror or error}.") from None


def _clear(path: Path) -> None:
    """Raises CortexError where another bridge serves there; OSError."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
        return  # bind says that it is there
    with socket.socket(socket.AF_UNIX) as other:
        other.settimeout(_ANSWER_S)
        try:
            other.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise CortexError(f"A bridge serves at {path} already.")
