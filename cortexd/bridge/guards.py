"""Who may speak to the bridge: its own user's programs, and no web page."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Mapping

from cortexd.bridge.peer import peer_of
from cortexd.bridge.sock_diag import uid_behind
from cortexd.errors import AccessDenied, InvalidArgument

_OURSELVES = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
# Fetch's headers that no program sends; Sec-Fetch-Mode is not among them, since Node's own fetch has it.
_OF_PAGES = ("Origin", "Sec-Fetch-Site", "Sec-Fetch-Dest", "Sec-Fetch-User")
_JSON = "application/json"


def refuse_browsers(headers: Mapping[str, str], method: str, target: str, *, tcp: bool) -> None:
    """Raise AccessDenied for what only a web page sends, or a name that only a rebound address has; InvalidArgument for
    a `target` that names a host of its own, and for content that a page may post without being asked."""
    if not target.startswith("/"):
        raise InvalidArgument("The request's target is no path.")
    if any(name in headers for name in _OF_PAGES):
        raise AccessDenied("A web page must not use the models of this computer.")
    if tcp and not _OURSELVES.fullmatch(headers.get("Host", "")):
        raise AccessDenied("The bridge answers to localhost and 127.0.0.1 alone.")
    if method == "POST" and headers.get("Content-Type", "").partition(";")[0].strip().lower() != _JSON:
        raise InvalidArgument(f"The body has to be sent as Content-Type: {_JSON}")


def uid_of(connection: socket.socket) -> int | None:
    """Whose the other end is, by the kernel's word; None where that says nothing."""
    return peer_of(connection).uid if connection.family == socket.AF_UNIX else uid_behind(connection)


def refuse_other_users(uid: int | None, own: int) -> None:
    """Raise AccessDenied where the other end is another user's, root's too, or nobody knows whose."""
    if uid != own:
        raise AccessDenied("This bridge is another user's.")


def refuse_without(key: str, headers: Mapping[str, str]) -> None:
    """Raise AccessDenied where neither Authorization nor x-api-key holds `key`, as the vendors' SDKs send keys."""
    given = (headers.get("Authorization", "").removeprefix("Bearer ").strip(), headers.get("x-api-key", ""))
    if not key or not any(secrets.compare_digest(_bytes(one), _bytes(key)) for one in given):
        raise AccessDenied(
            "The key is not this bridge's. cortexctl run and cortexctl connect give a program the right one."
        )


def _bytes(text: str) -> bytes:
    """Also of a header that was no UTF-8."""
    return text.encode(errors="surrogateescape")
