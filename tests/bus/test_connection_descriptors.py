"""File descriptors on a real dbus-daemon: delivered where asked for, closed where not, never lost, never leaked."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from dbus_next import Message, MessageType

from cortexd.connection import BusError, Connection, ConnectionLost, DescriptorMissing, take_fd
from cortexd.connection.decode import Frame
from tests.bus.private_dbus import (  # noqa: F401
    DEADLINE_S,
    PrivateBus,
    assert_count,
    bus_fixture,
    call_message,
    echo,
    no_leaks_fixture,
    open_fds,
    service,
)
from tests.bus.raw_peer import RawPeer, hello_answer, scripted_bus
from tests.eventually import assert_eventually_async


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        os.close(read)
        os.close(write)


@contextmanager
def room_for(count: int) -> Iterator[None]:
    """Let this process open `count` more descriptors and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    listed = os.listdir("/proc/self/fd")  # one of them is the listing itself, gone by now
    used = {int(name) for name in listed if os.path.lexists(f"/proc/self/fd/{name}")}
    free = [number for number in range(soft) if number not in used]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[count], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def inode(fd: int) -> int:
    return os.fstat(fd).st_ino


class TestSending:
    async def test_an_answer_carries_its_descriptor(self, bus: PrivateBus) -> None:
        """A pipe's end handed out arrives as the same pipe; the service may close its own copy at once."""

        def hand_out(connection: Connection, message: Message) -> None:
            read, write = os.pipe()
            connection.send(Message.new_method_return(message, "h", [0], [read]))
            os.close(read)
            os.write(write, b"hello")
            os.close(write)

        async with service(bus, hand_out), await Connection.open(bus.address) as client:
            reply = await client.call(call_message(), timeout_s=DEADLINE_S, take_fds=True)
            fd = take_fd(reply, reply.body[0])
            assert not os.get_inheritable(fd)
            assert os.read(fd, 100) == b"hello"
            assert os.read(fd, 100) == b""
            os.close(fd)

    async def test_descriptors_of_an_answer_are_closed_unless_asked_for(self, bus: PrivateBus) -> None:
        """A client that expects no descriptor keeps none."""
        with pipe() as (read, _):

            def hand_out(connection: Connection, message: Message) -> None:
                connection.send(Message.new_method_return(message, "h", [0], [read] * 3))

            async with service(bus, hand_out), await Connection.open(bus.address) as client:
                before = open_fds()
                reply = await client.call(call_message(), timeout_s=DEADLINE_S)
                with pytest.raises(DescriptorMissing):
                    take_fd(reply, 0)
                await assert_eventually_async(lambda: open_fds() == before, message="as many descriptors as before")

    async def test_a_closed_descriptor_becomes_internal(self, bus: PrivateBus) -> None:
        """An answer with a closed or absurd descriptor is an error for its caller alone."""
        bad = iter([None, [-1], [2**40], ["x"], [0] * 17])

        def answer(connection: Connection, message: Message) -> None:
            read, write = os.pipe()
            os.close(read)
            os.close(write)
            connection.send(Message.new_method_return(message, "h", [0], next(bad) or [read]))

        async with service(bus, answer) as server, await Connection.open(bus.address) as client:
            for _ in range(5):
                with pytest.raises(BusError, match=r"Error\.Internal"):
                    await client.call(call_message(), timeout_s=DEADLINE_S)
            assert not server.closed

    async def test_no_room_for_a_copy_becomes_internal(self, bus: PrivateBus) -> None:
        """When the process may open no more files, the answer is an error and the service lives."""
        with pipe() as (read, _):

            def answer(connection: Connection, message: Message) -> None:
                with room_for(0):
                    connection.send(Message.new_method_return(message, "h", [0], [read]))

            async with service(bus, answer) as server, await Connection.open(bus.address) as client:
                with pytest.raises(BusError, match=r"Error\.Internal"):
                    await client.call(call_message(), timeout_s=DEADLINE_S)
                assert not server.closed

    async def test_a_bus_without_descriptors_makes_it_internal(self, bus: PrivateBus) -> None:
        """Where descriptors were not agreed on, an answer that needs one is an error."""
        async with (
            await Connection.open(bus.address, fds=False) as server,
            await Connection.open(bus.address) as client,
        ):
            server.on_call = lambda message: server.send(Message.new_method_return(message, "h", [0], [0]))
            with pytest.raises(BusError, match=r"Error\.Internal"):
                await client.call(call_message(to=server.unique_name), timeout_s=DEADLINE_S)

    async def test_descriptors_wait_with_their_message(self, bus: PrivateBus) -> None:
        """Queued behind a full socket and sent in parts, each answer still brings exactly its own descriptor."""
        calls: list[Message] = []
        with ExitStack() as stack:
            reads = [stack.enter_context(pipe())[0] for _ in range(12)]
            async with (
                service(bus, lambda _, message: calls.append(message)) as server,
                await Connection.open(bus.address) as client,
            ):
                pending = [
                    asyncio.create_task(client.call(call_message(), timeout_s=DEADLINE_S, take_fds=True)) for _ in reads
                ]
                await assert_eventually_async(lambda: len(calls) == len(reads), message="all calls")
                before = open_fds()
                bus.pause()
                for message, fd in zip(calls, reads, strict=True):
                    server.send(Message.new_method_return(message, "hs", [0, "x" * 100_000], [fd]))
                assert open_fds() > before
                bus.resume()
                for reply, fd in zip(await asyncio.gather(*pending), reads, strict=True):
                    assert len(reply.unix_fds) == 1
                    received = take_fd(reply, 0)
                    assert inode(received) == inode(fd)
                    os.close(received)
                assert open_fds() == before

    async def test_small_messages_with_descriptors_fill_the_socket_too(self, bus: PrivateBus) -> None:
        """Six hundred answers of a few bytes, each with a descriptor, given to a deaf bus, all arrive with it."""
        calls: list[Message] = []
        async with (
            service(bus, lambda _, message: calls.append(message)) as server,
            await Connection.open(bus.address) as client,
        ):
            pending = [
                asyncio.create_task(client.call(call_message(), timeout_s=DEADLINE_S, take_fds=True))
                for _ in range(600)
            ]
            await assert_eventually_async(lambda: len(calls) == 600, message="all calls")
            with pipe() as (read, _):
                bus.pause()
                for message in calls:
                    server.send(Message.new_method_return(message, "h", [0], [read]))
                assert server.outgoing_bytes > 0
                bus.resume()
                for reply in await asyncio.gather(*pending):
                    received = take_fd(reply, 0)
                    assert inode(received) == inode(read)
                    os.close(received)

    async def test_queued_descriptors_are_closed_with_the_connection(self, bus: PrivateBus) -> None:
        """A connection that ends with descriptors in its queue closes its copies."""
        with pipe() as (read, _):
            async with await Connection.open(bus.address) as connection:
                bus.pause()
                for _ in range(20):
                    signal = Message.new_signal("/a", "a.b", "C", "hs", [0, "x" * 100_000], [read])
                    connection.send(signal)
                held = open_fds()
                bus.kill()
                await connection.wait_closed()
            assert open_fds() < held - 10


class TestReceiving:
    async def test_strays_are_closed(self, bus: PrivateBus) -> None:
        """Three hundred calls with descriptors that nobody asked for leave as many open as before."""
        async with service(bus, echo), RawPeer.open(bus.address) as peer:
            with pipe() as (read, write):
                before = open_fds()
                for _ in range(300):
                    await peer.send(call_message("Echo", "s", "x"), [read, write])
                    await peer.receive(MessageType.METHOD_RETURN)
                await assert_eventually_async(lambda: open_fds() == before, message="as many descriptors as before")

    async def test_strays_of_signals_and_odd_types_are_closed(self, bus: PrivateBus) -> None:
        """So it is for signals, for messages of unknown types, and for answers that nobody waits for."""
        async with await Connection.open(bus.address) as connection, RawPeer.open(bus.address) as peer:
            before = open_fds()
            with pipe() as (read, write):
                for kind in (2, 4, 99):
                    message = Message(
                        path="/a",
                        interface="a.b",
                        member="C",
                        message_type=MessageType.SIGNAL,
                        destination=connection.unique_name,
                    )
                    message.reply_serial = 77
                    if kind == 2:
                        message.message_type = MessageType.METHOD_RETURN
                    data = peer.encode(message, 2)
                    data[1] = kind
                    await peer.send_bytes(data, [read, write])
                await peer.send(Message(destination="org.freedesktop.DBus", path="/", member="GetId"))
                await peer.receive(MessageType.METHOD_RETURN)
                await connection.call_bus("GetId")
            await assert_eventually_async(lambda: open_fds() == before, message="as many descriptors as before")

    async def test_each_message_gets_its_own(self, bus: PrivateBus) -> None:
        """In a burst of messages with 0 to 3 descriptors each, every handler finds exactly those of its message."""
        found: list[list[int]] = []

        def look(_connection: Connection, message: Message) -> None:
            assert all(not os.get_inheritable(fd) for fd in message.unix_fds)
            found.append([inode(fd) for fd in message.unix_fds])

        with ExitStack() as stack:
            ends = [stack.enter_context(pipe())[0] for _ in range(5)]
            sent = [[ends[(number + index) % 5] for index in range(number % 4)] for number in range(120)]
            async with service(bus, look), RawPeer.open(bus.address) as peer:
                for number, fds in enumerate(sent):
                    await peer.send(call_message("Look", "s", "x" * (number * 300), quiet=True), fds)
                await assert_eventually_async(lambda: len(found) == len(sent), message="all messages")
            assert found == [[inode(fd) for fd in fds] for fds in sent]

    async def test_253_descriptors_in_one_message(self, bus: PrivateBus) -> None:
        """As many descriptors as the kernel can pass at once arrive whole; twenty such messages leave nothing open."""
        counts: list[int] = []
        async with (
            service(bus, lambda _, message: counts.append(len(message.unix_fds))),
            RawPeer.open(bus.address) as peer,
        ):
            with pipe() as (read, _):
                before = open_fds()
                for number in range(1, 21):
                    await peer.send(call_message(quiet=True), [read] * 253)
                    await assert_count(counts, number, "the message")
                assert set(counts) == {253}
                await assert_eventually_async(lambda: open_fds() == before, message="as many descriptors as before")

    async def test_a_taken_descriptor_belongs_to_its_taker(self, bus: PrivateBus) -> None:
        """What a handler takes stays open for it, once; what it leaves is closed."""
        taken: list[int] = []

        def take_second(connection: Connection, message: Message) -> None:
            taken.append(take_fd(message, 1))
            with pytest.raises(DescriptorMissing):
                take_fd(message, 1)
            with pytest.raises(DescriptorMissing):
                take_fd(message, 2)
            echo(connection, message)

        async with service(bus, take_second), RawPeer.open(bus.address) as peer:
            with pipe() as (read, write):
                before = open_fds()
                await peer.send(call_message(), [read, write])
                await peer.receive(MessageType.METHOD_RETURN)
                await assert_eventually_async(lambda: open_fds() == before + 1, message="one descriptor more")
                assert inode(taken[0]) == inode(write)
                os.close(taken[0])

    async def test_descriptors_that_do_not_fit_harm_only_their_message(self, bus: PrivateBus) -> None:
        """With no room for a message's descriptors it arrives without, and the next message has its own again."""
        counts: list[int] = []

        async with (
            service(bus, lambda _, message: counts.append(len(message.unix_fds))),
            RawPeer.open(bus.address) as peer,
        ):
            with pipe() as (read, _):
                for room in (4, 200):
                    with room_for(room):
                        await peer.send(call_message(quiet=True), [read] * 10)
                        count = len(counts)
                        await assert_count(counts, count + 1, "the message")
        assert counts == [4, 10]

    async def test_half_a_message_keeps_none(self, tmp_path: Path) -> None:
        """When the bus dies in the middle of a message, the descriptors that came with its first half are closed."""

        async def die_halfway(peer: RawPeer, hello: Message) -> None:
            with pipe() as (read, _):
                await peer.send_bytes(hello_answer(peer, hello)[:20], [read] * 3)

        async with scripted_bus(tmp_path / "s", die_halfway) as address:
            with pytest.raises(ConnectionLost):
                await Connection.open(address)

    async def test_a_message_type_to_come_keeps_none(self, tmp_path: Path) -> None:
        """Descriptors of a message that is ignored are closed, and the next message has its own."""

        async def send_odd_type(peer: RawPeer, hello: Message) -> None:
            await peer.send_bytes(hello_answer(peer, hello))
            with pipe() as (read, write):
                odd = peer.encode(call_message(), 2)
                odd[1] = 99
                await peer.send_bytes(odd, [read, read])
                await peer.send(call_message(), [write])
                await asyncio.sleep(3600)

        found: list[list[int]] = []
        async with (
            scripted_bus(tmp_path / "s", send_odd_type) as address,
            await Connection.open(address, on_call=lambda message: found.append(message.unix_fds)),
        ):
            await assert_eventually_async(lambda: bool(found), message="the next message")
        assert len(found[0]) == 1

    async def test_a_cancelled_call_keeps_no_descriptor(self, bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> None:
        """A caller cancelled in the very turn in which its answer came leaves nothing open."""
        calls: list[Message] = []
        with pipe() as (read, _):
            async with (
                service(bus, lambda _, message: calls.append(message)) as server,
                await Connection.open(bus.address) as client,
            ):
                before, settle = open_fds(), client._calls.settle
                for number in range(1, 51):
                    call = asyncio.create_task(client.call(call_message(), timeout_s=DEADLINE_S, take_fds=True))
                    await assert_count(calls, number, "the call")

                    def settle_and_cancel(frame: Frame, call: asyncio.Task[Message] = call) -> None:
                        settle(frame)
                        call.cancel()

                    monkeypatch.setattr(client._calls, "settle", settle_and_cancel)
                    server.send(Message.new_method_return(calls[-1], "h", [0], [read]))
                    with pytest.raises(asyncio.CancelledError):
                        await call
                    monkeypatch.setattr(client._calls, "settle", settle)
                await assert_eventually_async(lambda: open_fds() == before, message="as many descriptors as before")
