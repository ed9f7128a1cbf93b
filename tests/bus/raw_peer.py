"""Peers that behave as badly as the D-Bus protocol lets them: clients with bytes of their own, a bus with a script."""

from __future__ import annotations

import array
import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from dbus_next import Message, MessageType

from cortexd.connection.address import connect
from cortexd.connection.decode import MAX_VALUES, frame_length, read_header
from cortexd.connection.encode import encode
from cortexd.connection.handshake import authenticate
from tests.bus.private_dbus import DEADLINE_S


class RawPeer:
    """A client that writes its own bytes, and reads only when told to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.unique_name = ""
        self._serial = 0
        self._buffer = bytearray()

    @classmethod
    @asynccontextmanager
    async def open(cls, address: str) -> AsyncIterator[RawPeer]:
        sock = await connect(address)
        with sock:
            await authenticate(sock, fds=True)
            self = cls(sock)
            hello = Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="Hello",
            )
            await self.send(hello)
            [self.unique_name] = (await self.receive(MessageType.METHOD_RETURN)).body
            yield self

    def encode(self, message: Message, fd_count: int = 0) -> bytearray:
        self._serial += 1
        return encode(message, self._serial, fd_count)

    async def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        await self.send_bytes(self.encode(message, len(fds)), fds)

    async def send_bytes(self, data: bytes | bytearray, fds: Sequence[int] = ()) -> None:
        loop = asyncio.get_running_loop()
        while fds:
            try:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
                data, fds = data[self.sock.sendmsg([data], [rights]) :], ()
            except BlockingIOError:
                await asyncio.sleep(0.001)
        async with asyncio.timeout(DEADLINE_S):
            await loop.sock_sendall(self.sock, data)

    async def receive(self, kind: MessageType) -> Message:
        """The next message of this kind; others are skipped."""
        while True:
            length = frame_length(self._buffer, 0)
            if length is not None and length <= len(self._buffer):
                frame = read_header(bytes(self._buffer[:length]))
                del self._buffer[:length]
                frame.read_body(MAX_VALUES)
                if frame.message.message_type is kind:
                    return frame.message
                continue
            async with asyncio.timeout(DEADLINE_S):
                data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
            assert data, "the bus disconnected the raw peer"
            self._buffer += data


@asynccontextmanager
async def scripted_bus(path: Path, script: Callable[[RawPeer, Message], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that lets one client in and then does what `script` says, from Hello on. Yields its address."""

    async def serve() -> None:
        sock, _ = await loop.sock_accept(server)
        with sock:
            for answer in (b"DATA\r\n", b"OK 0\r\n", b"AGREE_UNIX_FD\r\n"):
                await loop.sock_recv(sock, 100)
                await loop.sock_sendall(sock, answer)
            await loop.sock_recv(sock, len(b"BEGIN\r\n"))
            peer = RawPeer(sock)
            await script(peer, await peer.receive(MessageType.METHOD_CALL))

    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as server:
        server.setblocking(False)
        server.bind(str(path))
        server.listen()
        serving = asyncio.create_task(serve())
        yield f"unix:path={path}"
        serving.cancel()
        await asyncio.wait([serving])


def with_field(data: bytes, code: int, variant: bytes) -> bytes:
    """The message with one more header field."""
    length = struct.unpack_from("<I", data, 12)[0]
    end = 16 + length
    fields = data[16:end] + bytes(-end % 8) + bytes((code,)) + variant
    return data[:12] + struct.pack("<I", len(fields)) + fields + bytes(-len(fields) % 8) + data[end + (-end % 8) :]


def hello_answer(peer: RawPeer, hello: Message) -> bytes:
    return bus_answer(peer, hello, "s", ":1.1")


def bus_answer(peer: RawPeer, call: Message, signature: str = "", *body: object) -> bytes:
    """What a bus says to a call, from the sender that only a bus can be."""
    answer = Message(
        message_type=MessageType.METHOD_RETURN,
        destination=":1.1",
        reply_serial=call.serial,
        signature=signature,
        body=list(body),
    )
    return with_field(bytes(peer.encode(answer)), 7, b"\1s\0" + struct.pack("<I", 20) + b"org.freedesktop.DBus\0")
