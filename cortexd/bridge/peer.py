"""Who is at the other end of a Unix socket, by the kernel's word."""

from __future__ import annotations

import re
import socket
import struct
from pathlib import Path
from typing import NamedTuple

_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7)
_SCOPE = re.compile(r"/app-(?:[a-z]+-)?(?P<id>[A-Za-z0-9_.\\-]+?)(?:-\d+)?\.scope")
_MAX = 64


class Peer(NamedTuple):
    pid: int
    uid: int
    gid: int


def peer_of(connection: socket.socket) -> Peer:
    return Peer(*_CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))


def program_behind(connection: socket.socket) -> str:
    """Kept as the request's label `app`: its desktop id where it has one, else its name; "" where nobody can say."""
    process = Path("/proc") / str(peer_of(connection).pid)
    try:
        scope = _SCOPE.search((process / "cgroup").read_text())
        name = scope["id"] if scope else (process / "comm").read_text(errors="replace")
    except OSError:  # it has left already
        return ""
    return name.strip()[:_MAX]
