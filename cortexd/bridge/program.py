"""Which program is at the other end of a Unix socket: kept as the request's label `app`."""

from __future__ import annotations

import re
import socket
import struct
from pathlib import Path

_CREDENTIALS = struct.Struct("3i")
_SCOPE = re.compile(r"/app-(?:[a-z]+-)?(?P<id>[A-Za-z0-9_.\\-]+?)(?:-\d+)?\.scope")
_MAX = 64


def program_behind(peer: socket.socket) -> str:
    """Its desktop id where it has one, else its name; "" where nobody can say."""
    pid, _uid, _gid = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    process = Path("/proc") / str(pid)
    try:
        scope = _SCOPE.search((process / "cgroup").read_text())
        name = scope["id"] if scope else (process / "comm").read_text(errors="replace")
    except OSError:  # it has left already
        return ""
    return name.strip()[:_MAX]
