"""Who is at the other end of a Unix socket, by the kernel's word."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7)
_SO_PEERPIDFD = 77  # since Linux 6.5; Python has no name for it


class Peer(NamedTuple):
    pid: int
    uid: int
    gid: int


def peer_of(connection: socket.socket) -> Peer:
    return Peer(*_CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))


def of_process(connection: socket.socket, read: Callable[[int], T]) -> T | None:
    """What `read` makes of the pid at the other end; None where the process has ended, so that its number may be
    another's. A kernel before 6.5 cannot tell."""
    try:
        process = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError:
        return read(peer_of(connection).pid)
    ended = select.poll()  # readable once it has
    ended.register(process, select.POLLIN)
    try:
        found = read(peer_of(connection).pid)
        return None if ended.poll(0) else found
    finally:
        os.close(process)
