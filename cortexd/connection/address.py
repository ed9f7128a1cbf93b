"""Where a bus listens."""

from __future__ import annotations

import asyncio
import os
import socket

from dbus_next import InvalidAddressError
from dbus_next._private.address import parse_address

from cortexd.connection.errors import ConnectionLost

_RETRY_S = 0.02


def system_address() -> str:
    return os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or "unix:path=/var/run/dbus/system_bus_socket"


def session_address() -> str:
    """Raises ConnectionLost where the environment names no session bus."""
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS")
    if address:
        return address
    if "XDG_RUNTIME_DIR" in os.environ:
        return f"unix:path={os.environ['XDG_RUNTIME_DIR']}/bus"
    raise ConnectionLost("no session bus: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set")


async def connect(address: str) -> socket.socket:
    """A connected, non-blocking socket to the first of the address's alternatives that answers.

    Raises ConnectionLost. A full backlog is waited out; the caller sets the deadline.
    """
    try:
        alternatives = parse_address(address)
    except InvalidAddressError as error:
        raise ConnectionLost(f"not a bus address: {address}: {error}") from None
    reasons = []
    for transport, options in alternatives:
        name = _socket_name(transport, options)
        if name is None:
            reasons.append(f"only unix:path= and unix:abstract= are supported, not {transport}:")
            continue
        try:
            return await _connect_unix(name)
        except OSError as error:
            reasons.append(error.strerror or type(error).__name__)
    raise ConnectionLost(f"no bus at {address}: {'; '.join(reasons)}")


def _socket_name(transport: str, options: dict[str, str]) -> str | None:
    if transport != "unix":
        return None
    if "abstract" in options:
        return "\0" + options["abstract"]
    return options.get("path")


async def _connect_unix(name: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        while True:
            try:
                sock.connect(name)
            except BlockingIOError:  # a unix socket does not connect in the background: ask again
                await asyncio.sleep(_RETRY_S)
            else:
                return sock
    except BaseException:
        sock.close()
        raise
