"""Whose the other end of a loopback connection is, by NETLINK_SOCK_DIAG. Source: sock_diag(7), linux/inet_diag.h."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY, _NLMSG_ERROR = 20, 2
_NLM_F_REQUEST = 1
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_ID = struct.Struct("!HH16s16s")  # the ports and addresses of struct inet_diag_sockid
_ID_END = struct.Struct("=III")  # its interface and cookie
_REQUEST = struct.Struct("=BBBBI")  # the head of struct inet_diag_req_v2
_ANY_STATE, _NO_COOKIE = 0xFFFFFFFF, 0xFFFFFFFF
_UID_AT, _INODE_AT = 64, 68  # in struct inet_diag_msg
_TIMEOUT_S = 1.0


class End(NamedTuple):
    """The other end of a connection: whose socket it is, and its inode."""

    uid: int
    inode: int


def end_behind(connection: socket.socket) -> End | None:
    """Whose socket is connected to `connection`, or None where nobody can say: a peer that has closed already has no
    name, or reads as uid 0 with inode 0."""
    try:
        answer = _told_of(connection)
    except OSError:
        return None
    kind = _HEADER.unpack_from(answer)[1]
    if kind == _NLMSG_ERROR or len(answer) < _HEADER.size + _INODE_AT + 4:
        return None
    end = End(*struct.unpack_from("=II", answer, _HEADER.size + _UID_AT))
    return end if end.inode else None


def uid_behind(connection: socket.socket) -> int | None:
    """The user of that end."""
    end = end_behind(connection)
    return None if end is None else end.uid


def _told_of(connection: socket.socket) -> bytes:
    """Of the other end, by the kernel."""
    here, there = connection.getsockname(), connection.getpeername()
    family = connection.family
    source, target = (_address(family, end[0]) for end in (there, here))
    question = (
        _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE)
        + _ID.pack(there[1], here[1], source, target)
        + _ID_END.pack(0, _NO_COOKIE, _NO_COOKIE)
    )
    message = _HEADER.pack(_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + question
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(_TIMEOUT_S)
        netlink.sendto(message, (0, 0))
        return netlink.recv(4096)


def _address(family: int, text: str) -> bytes:
    return socket.inet_pton(family, text.partition("%")[0]).ljust(16, b"\0")
