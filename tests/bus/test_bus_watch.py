"""Noticing a bus that no longer reads: asked after something was sent, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from dbus_next import Message, MessageType

from cortexd.connection import Connection
from cortexd.daemon.bus_watch import bus_lost
from tests.bus.private_dbus import NAME, PATH, PrivateBus, bus_fixture, no_leaks_fixture, private_bus  # noqa: F401
from tests.bus.raw_peer import RawPeer
from tests.eventually import assert_eventually_async

UNREAD_BYTES = 2**18  # of one service, after which this bus reads no more from it


class DeafBus:
    """A bus that has stopped reading from `connection`, because `peer` reads nothing of what that sends it."""

    def __init__(self, address: str, connection: Connection, peer: RawPeer) -> None:
        self.address = address
        self.connection = connection
        self.peer = peer

    @classmethod
    @asynccontextmanager
    async def made(cls) -> AsyncIterator[DeafBus]:
        with private_bus(max_incoming_bytes=UNREAD_BYTES) as bus:
            async with RawPeer.open(bus.address) as peer, await Connection.open(bus.address) as connection:
                deaf = cls(bus.address, connection, peer)
                for _ in range(UNREAD_BYTES * 4 // 4096):  # the bus's limit, and some in the peer's socket and in ours
                    deaf.send("x" * 4096)
                await assert_eventually_async(lambda: connection.sent.unread > 0, message="a bus that reads no more")
                yield deaf

    def send(self, text: str) -> None:
        message = Message.new_signal(PATH, NAME, "Tick", "s", [text])
        message.destination = self.peer.unique_name
        self.connection.send(message)

    async def relieve(self) -> None:
        """The peer reads after all, up to the end of what was sent."""
        self.send("last")
        while (await self.peer.receive(MessageType.SIGNAL)).body != ["last"]:
            pass


class TestBusLost:
    @pytest.mark.slow
    async def test_a_bus_that_stops_reading(self, bus: PrivateBus) -> None:
        """While nothing is sent nothing is asked, however deaf the bus; what is sent then shows it."""
        async with await Connection.open(bus.address) as connection:
            lost = asyncio.create_task(bus_lost(connection, bus.address))
            await assert_eventually_async(lambda: not connection.used.is_set(), message="the bus's sign of life")
            asked = connection.sent.messages
            bus.pause()
            await asyncio.wait({lost}, timeout=5)
            assert (lost.done(), connection.sent.messages) == (False, asked)
            connection.send(Message.new_signal(PATH, NAME, "Tick", "u", [1]))
            assert await lost == "the bus has not read what we sent for 10 s"
            bus.resume()

    async def test_a_bus_that_is_deaf_to_us_alone(self) -> None:
        """It lets others in and reads nothing of ours: that is told sooner than a bus that serves nobody."""
        async with DeafBus.made() as deaf:
            reason = await bus_lost(deaf.connection, deaf.address)
            assert reason == "the bus has not read what we sent for 2.5 s and served others"

    async def test_a_bus_that_reads_again(self) -> None:
        """Deaf for a moment, because of a caller who then reads, it is not lost."""
        async with DeafBus.made() as deaf:
            sent = deaf.connection.sent.messages
            lost = asyncio.create_task(bus_lost(deaf.connection, deaf.address))
            await assert_eventually_async(lambda: deaf.connection.sent.messages > sent, message="the bus to be asked")
            assert deaf.connection.sent.unread
            await deaf.relieve()
            await assert_eventually_async(lambda: not deaf.connection.used.is_set(), message="the bus's sign of life")
            assert not lost.done()
            lost.cancel()

    async def test_a_bus_that_ends(self, bus: PrivateBus) -> None:
        """Its own reason comes at once."""
        async with await Connection.open(bus.address) as connection:
            lost = asyncio.create_task(bus_lost(connection, bus.address))
            await connection.call_bus("GetId")
            bus.kill()
            assert await lost == "the bus ended the connection"
