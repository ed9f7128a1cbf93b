"""Who may speak to the bridge: its own user's programs, and no web page."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping

from cortexd.bridge.peer import peer_of
from cortexd.errors import AccessDenied, InvalidArgument

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def refuse_browsers(headers: Mapping[str, str], method: str, tcp: bool) -> None:
    """Raise AccessDenied for what only a web page sends, or a name that only a rebound address has."""
    if "Origin" in headers or "Sec-Fetch-Site" in headers:
        raise AccessDenied("A web page must not use the models of this computer.")
    host = headers.get("Host", "").rpartition(":")
    name = host[0] if host[1] and not host[2].endswith("]") else headers.get("Host", "")
    if tcp and name not in _LOOPBACK:
        raise AccessDenied("The bridge answers to localhost and 127.0.0.1 alone.")
    if method == "POST" and headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise InvalidArgument("Content-Type: expected application/json")


def refuse_other_users(peer: socket.socket) -> None:
    """Raise AccessDenied where a Unix socket's other end is another user's."""
    if peer_of(peer).uid != os.getuid():
        raise AccessDenied("This socket is another user's.")


def refuse_without(token: str, headers: Mapping[str, str]) -> None:
    """Raise AccessDenied where neither Authorization nor x-api-key holds `token`, as the vendors' SDKs send keys."""
    given = (headers.get("Authorization", "").removeprefix("Bearer ").strip(), headers.get("x-api-key", ""))
    if not token or not any(secrets.compare_digest(_bytes(one), _bytes(token)) for one in given):
        raise AccessDenied("The key is not this bridge's. cortexctl run sets the right one.")


def _bytes(text: str) -> bytes:
    """Also of a header that was no UTF-8."""
    return text.encode(errors="surrogateescape")
