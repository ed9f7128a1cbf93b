"""Noticing a bus that no longer reads: asked after something was sent, and only then."""

from __future__ import annotations

import asyncio

import pytest
from dbus_next import Message

from cortexd.connection import Connection
from cortexd.daemon.bus_watch import bus_lost
from tests.bus.private_dbus import NAME, PATH, PrivateBus, bus_fixture, no_leaks_fixture  # noqa: F401
from tests.eventually import assert_eventually_async


class TestBusLost:
    @pytest.mark.slow
    async def test_a_bus_that_stops_reading(self, bus: PrivateBus) -> None:
        """While nothing is sent nothing is asked, however deaf the bus; what is sent then shows it."""
        async with await Connection.open(bus.address) as connection:
            lost = asyncio.create_task(bus_lost(connection))
            await assert_eventually_async(lambda: not connection.used.is_set(), message="the bus's sign of life")
            asked = connection.messages_sent
            bus.pause()
            await asyncio.wait({lost}, timeout=5)
            assert (lost.done(), connection.messages_sent) == (False, asked)
            connection.send(Message.new_signal(PATH, NAME, "Tick", "u", [1]))
            assert await lost == "the bus has not read what we sent for 10 s"
            bus.resume()

    async def test_a_bus_that_ends(self, bus: PrivateBus) -> None:
        """Its own reason comes at once."""
        async with await Connection.open(bus.address) as connection:
            lost = asyncio.create_task(bus_lost(connection))
            await connection.call_bus("GetId")
            bus.kill()
            assert await lost == "the bus ended the connection"
