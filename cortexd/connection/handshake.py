"""Authentication: the EXTERNAL mechanism, by the credentials that the kernel vouches for."""

from __future__ import annotations

import asyncio
import socket

from cortexd.connection.errors import ConnectionLost

_MAX_LINE = 16 * 1024


async def authenticate(sock: socket.socket, *, fds: bool) -> bool:
    """Speak up to and including BEGIN; return whether file descriptors may travel.

    No uid is named, so that it works across user namespaces too. Raises ConnectionLost; the caller sets the deadline.
    """
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, b"\0AUTH EXTERNAL\r\n")
    if await _line(sock) != "DATA":
        raise ConnectionLost("the bus does not take EXTERNAL authentication")
    await loop.sock_sendall(sock, b"DATA\r\n")
    if not (await _line(sock)).startswith("OK"):
        raise ConnectionLost("the bus refused our credentials")
    agreed = False
    if fds:
        await loop.sock_sendall(sock, b"NEGOTIATE_UNIX_FD\r\n")
        agreed = await _line(sock) == "AGREE_UNIX_FD"
    await loop.sock_sendall(sock, b"BEGIN\r\n")
    return agreed


async def _line(sock: socket.socket) -> str:
    """One answer. The server sends nothing unasked before BEGIN, so nothing is read that is not the answer's."""
    loop = asyncio.get_running_loop()
    line = b""
    while not line.endswith(b"\r\n"):
        data = await loop.sock_recv(sock, 1024)
        if not data or len(line) > _MAX_LINE:
            raise ConnectionLost("the bus ended the connection during authentication")
        line += data
    return line[:-2].decode("ascii", "replace")
