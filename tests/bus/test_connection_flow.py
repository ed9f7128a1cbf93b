"""Floods, full sockets and large answers on a real dbus-daemon: the connection bends and does not break."""

from __future__ import annotations

import asyncio
import os
import threading

from dbus_next import Message, MessageType

from cortexd.connection import Connection
from cortexd.connection.core import HIGH_WATER
from tests.bus.private_dbus import (  # noqa: F401
    DEADLINE_S,
    NAME,
    PATH,
    PrivateBus,
    bus_fixture,
    call_message,
    echo,
    no_leaks_fixture,
    open_fds,
    service,
)
from tests.bus.raw_peer import RawPeer
from tests.eventually import assert_eventually_async

BIG = "x" * 100_000


def answer_big(connection: Connection, message: Message) -> None:
    connection.send(Message.new_method_return(message, "s", [BIG]))


def signal(number: int, text: str = "") -> Message:
    return Message.new_signal(PATH, NAME, "Tick", "us", [number, text])


class TestFullSocket:
    async def test_answers_wait_for_a_bus_that_does_not_read(self, bus: PrivateBus) -> None:
        """Two thousand answers given while the bus reads nothing are all delivered, in order, once it does."""
        calls: list[Message] = []
        async with service(bus, lambda _, message: calls.append(message)) as server, RawPeer.open(bus.address) as peer:
            for number in range(1500):
                await peer.send(call_message("Echo", "us", number, "x" * 200))
            await assert_eventually_async(lambda: len(calls) == 1500, message="all calls at the service")
            bus.pause()
            for message in calls:
                echo(server, message)
            assert server.outgoing_bytes > 0
            assert not await server.drain(timeout_s=0.05)
            bus.resume()
            assert await server.drain(timeout_s=DEADLINE_S)
            assert server.outgoing_bytes == 0
            answers = [(await peer.receive(MessageType.METHOD_RETURN)).body[0] for _ in range(1500)]
            assert answers == list(range(1500))
            assert not server.closed

    async def test_a_client_that_never_reads_harms_itself_alone(self, bus: PrivateBus) -> None:
        """Four hundred answers of 10 KB queue up for a client that never reads; another is served meanwhile."""
        async with (
            service(bus, echo) as server,
            RawPeer.open(bus.address) as deaf,
            await Connection.open(bus.address) as client,
        ):
            for _ in range(400):
                await deaf.send(call_message("Echo", "s", "x" * 10_000))
            for _ in range(20):
                assert (await client.call(call_message("Echo", "s", "y"), timeout_s=DEADLINE_S)).body == ["y"]
            assert not server.closed

    async def test_reading_stops_while_too_much_waits_to_be_written(self, bus: PrivateBus) -> None:
        """With the bus deaf, no more is taken in than fits the high-water mark; afterwards everything is served."""
        calls: list[Message] = []
        async with service(bus, lambda _, message: calls.append(message)) as server, RawPeer.open(bus.address) as peer:
            for _ in range(150):
                await peer.send(call_message())
            await assert_eventually_async(lambda: len(calls) == 150, message="all calls at the service")
            for _ in range(150):  # these the kernel and the bus hold while nobody reads
                await peer.send(call_message())
            await peer.send(Message(destination="org.freedesktop.DBus", path="/", member="GetId"))
            server.on_call = calls.append
            bus.pause()
            for message in calls[:100]:
                answer_big(server, message)
            assert server.outgoing_bytes > HIGH_WATER
            taken = len(calls)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(calls) == taken
            bus.resume()
            assert await server.drain(timeout_s=DEADLINE_S)
            await assert_eventually_async(lambda: len(calls) == 300, message="the calls that waited")

    async def test_signals_are_dropped_past_the_bound_and_counted(self, bus: PrivateBus) -> None:
        """While the bus is deaf signals queue up to the bound only; answers are never dropped."""
        calls: list[Message] = []
        async with (
            service(bus, lambda _, message: calls.append(message), max_outgoing_bytes=1_000_000) as server,
            await Connection.open(bus.address) as client,
        ):
            answer = asyncio.create_task(client.call(call_message(), timeout_s=DEADLINE_S))
            await assert_eventually_async(lambda: bool(calls), message="the call")
            bus.pause()
            for number in range(500):
                server.send(signal(number, "x" * 10_000))
            assert 1_000_000 <= server.outgoing_bytes < 1_020_000
            assert 300 < server.signals_dropped < 400
            answer_big(server, calls[0])
            bus.resume()
            assert (await answer).body == [BIG]


class TestStall:
    async def test_a_bus_that_takes_nothing_counts_as_lost(self, bus: PrivateBus) -> None:
        """With answers queued and none taken for the stall limit, the connection ends with a reason."""
        async with await Connection.open(bus.address, stall_s=0.2) as connection:
            bus.pause()
            for number in range(100):
                connection.send(signal(number, "x" * 10_000))
            async with asyncio.timeout(DEADLINE_S):
                assert "nothing for 0.2 s" in await connection.wait_closed()
            assert not await connection.drain(timeout_s=DEADLINE_S)

    async def test_clients_that_never_read_cannot_silence_the_service_for_ever(self, bus: PrivateBus) -> None:
        """Two deaf clients with 160 MB of answers stop the bus from reading us; that is noticed and ends the
        connection, so that a restarted service serves the others."""

        def answer(connection: Connection, message: Message) -> None:
            if message.member == "Big":
                connection.send(Message.new_method_return(message, "s", ["x" * 10_000_000]))
            else:
                echo(connection, message)

        async with (
            RawPeer.open(bus.address) as one,
            RawPeer.open(bus.address) as two,
            await Connection.open(bus.address) as client,
        ):
            async with service(bus, answer, stall_s=0.5) as server:
                for peer in (one, two):
                    for _ in range(8):
                        await peer.send(call_message("Big"))
                async with asyncio.timeout(DEADLINE_S):
                    await server.wait_closed()
            async with service(bus, answer):
                reply = await client.call(call_message("Echo", "s", "y"), timeout_s=DEADLINE_S)
                assert reply.body == ["y"]

    async def test_a_slow_bus_is_not_a_lost_one(self, bus: PrivateBus) -> None:
        """After a pause shorter than the limit everything arrives."""
        async with await Connection.open(bus.address, stall_s=5) as connection:
            bus.pause()
            for number in range(200):
                connection.send(signal(number, "x" * 10_000))
            assert not await connection.drain(timeout_s=0.1)
            bus.resume()
            assert await connection.drain(timeout_s=DEADLINE_S)
            assert not connection.closed


class TestLoad:
    async def test_64_concurrent_large_answers(self, bus: PrivateBus) -> None:
        """Sixty-four calls at once with answers of 100 KB are all answered."""
        async with service(bus, answer_big), await Connection.open(bus.address) as client:
            calls = (client.call(call_message(), timeout_s=DEADLINE_S) for _ in range(64))
            assert all(reply.body == [BIG] for reply in await asyncio.gather(*calls))

    async def test_a_thousand_calls_in_flight_over_eight_connections(self, bus: PrivateBus) -> None:
        """A thousand calls wait together; each gets its own answer, with 100 KB beside it."""
        calls: list[Message] = []

        def collect(connection: Connection, message: Message) -> None:
            calls.append(message)
            if len(calls) == 1000:
                for call in calls:
                    connection.send(Message.new_method_return(call, "us", [call.body[0], BIG]))

        async def client(first: int) -> list[int]:
            async with await Connection.open(bus.address) as connection:
                wanted = (
                    connection.call(call_message("Echo", "u", number), timeout_s=4 * DEADLINE_S)
                    for number in range(first, first + 125)
                )
                return [reply.body[0] for reply in await asyncio.gather(*wanted)]

        async with service(bus, collect) as server:
            answers = await asyncio.gather(*(client(125 * index) for index in range(8)))
            assert not server.closed
        assert [number for part in answers for number in part] == list(range(1000))

    async def test_a_flood_leaves_room_for_other_tasks(self, bus: PrivateBus) -> None:
        """While 50,000 no-reply calls pour in, other tasks get a turn every 32 messages, 64 at most."""
        count, most, done = 0, 0, asyncio.Event()

        def receive(_connection: Connection, _message: Message) -> None:
            nonlocal count
            count += 1
            if count == 50_000:
                done.set()

        async def heart() -> None:
            nonlocal most
            while not done.is_set():
                before = count
                await asyncio.sleep(0)
                most = max(most, count - before)

        async with service(bus, receive), RawPeer.open(bus.address) as peer:
            data = bytes(peer.encode(call_message("Flood", "s", "x" * 50, quiet=True))) * 1000
            peer.sock.setblocking(True)

            def send() -> None:
                for _ in range(50):
                    peer.sock.sendall(data)

            flood = threading.Thread(target=send, daemon=True)
            flood.start()
            async with asyncio.timeout(2 * DEADLINE_S):
                await asyncio.gather(done.wait(), heart())
            flood.join(DEADLINE_S)
            peer.sock.setblocking(False)
        assert count == 50_000
        assert most <= 64

    async def test_a_flood_does_not_keep_a_caller_waiting(self, bus: PrivateBus) -> None:
        """A caller beside a flood is answered while the flood is still going on."""
        flooding = threading.Event()

        def serve(connection: Connection, message: Message) -> None:
            if message.member == "Echo":
                echo(connection, message)

        async with (
            service(bus, serve) as server,
            RawPeer.open(bus.address) as peer,
            await Connection.open(bus.address) as client,
        ):
            data = bytes(peer.encode(call_message("Flood", quiet=True))) * 100
            peer.sock.setblocking(True)

            def pour() -> None:
                while not flooding.is_set():
                    peer.sock.sendall(data)

            flood = threading.Thread(target=pour, daemon=True)
            flood.start()
            for _ in range(3):
                assert (await client.call(call_message("Echo", "s", "y"), timeout_s=DEADLINE_S)).body == ["y"]
            flooding.set()
            await asyncio.to_thread(flood.join, DEADLINE_S)
            peer.sock.setblocking(False)
            assert not server.closed


class TestLargeCalls:
    async def test_one_that_is_not_wanted_is_passed_over(self, bus: PrivateBus) -> None:
        """Refused by its header and length, its bytes are not kept, its descriptor is closed; what follows is whole."""
        asked: list[int] = []
        reading, writing = os.pipe()

        def may_read(message: Message, length: int) -> bool:
            asked.append(length)
            if len(asked) % 2:
                return True
            server.send(Message.new_error(message, f"{NAME}.Full", "no room"))
            return False

        async with service(bus, echo) as server, RawPeer.open(bus.address) as peer:
            server.may_read = may_read
            before = open_fds()
            for number in range(6):
                await peer.send(call_message("Echo", "us", number, "x" * 3_000_000), [reading])
                await peer.send(call_message("Echo", "us", 100 + number, "small"))
                if number % 2:
                    assert (await peer.receive(MessageType.ERROR)).body == ["no room"]
                else:
                    assert (await peer.receive(MessageType.METHOD_RETURN)).body == [number, "x" * 3_000_000]
                assert (await peer.receive(MessageType.METHOD_RETURN)).body == [100 + number, "small"]
            assert len(asked) == 6
            assert min(asked) > 3_000_000
            assert open_fds() == before
        os.close(reading)
        os.close(writing)
