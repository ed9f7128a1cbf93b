"""Calls and answers over a real dbus-daemon: nothing hangs, nothing is left behind."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path

import pytest
from dbus_next import Message, MessageFlag, MessageType

from cortexd.connection import (
    BusError,
    BusTimeout,
    Connection,
    ConnectionLost,
    NameTaken,
    session_address,
    system_address,
    wants_reply,
)
from cortexd.connection.calls import MAX_SERIAL
from tests.bus.private_dbus import (  # noqa: F401
    DEADLINE_S,
    NAME,
    PATH,
    PrivateBus,
    assert_count,
    bus_fixture,
    call_message,
    echo,
    no_leaks_fixture,
    service,
)
from tests.bus.raw_peer import RawPeer, hello_answer, scripted_bus
from tests.eventually import assert_eventually_async


def never(_connection: Connection, _message: Message) -> None:
    """A service that does not answer."""


def refuse(connection: Connection, message: Message) -> None:
    connection.send(Message.new_error(message, "org.example.Error.No", "not today"))


class TestOpen:
    async def test_the_bus_names_us(self, bus: PrivateBus) -> None:
        """A connection has a unique name from the start, and two have two."""
        async with await Connection.open(bus.address) as one, await Connection.open(bus.address) as two:
            assert one.unique_name.startswith(":")
            assert one.unique_name != two.unique_name

    async def test_the_second_of_two_addresses_is_tried(self, bus: PrivateBus) -> None:
        """An address may name alternatives; the first that answers is used."""
        async with await Connection.open(f"unix:path=/nonexistent/bus;{bus.address}") as connection:
            assert not connection.closed

    @pytest.mark.parametrize("address", ["unix:path=/nonexistent/bus", "tcp:host=127.0.0.1,port=1", "nonsense", ""])
    async def test_no_bus_is_an_error_that_names_the_address(self, address: str) -> None:
        """A wrong address fails at once, saying which address."""
        with pytest.raises(ConnectionLost, match=address or "not a bus address"):
            await Connection.open(address)

    async def test_a_silent_server_meets_the_deadline(self, tmp_path: Path) -> None:
        """A socket that accepts but never speaks ends in BusTimeout, not in waiting."""
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "s"))
            server.listen()
            with pytest.raises(BusTimeout):
                await Connection.open(f"unix:path={tmp_path}/s", timeout_s=0.1)

    async def test_a_full_backlog_meets_the_deadline(self, tmp_path: Path) -> None:
        """A server that does not even accept neither blocks the loop nor passes for connected."""
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "s"))
            server.listen(0)
            with socket.socket(socket.AF_UNIX) as first:
                first.connect(str(tmp_path / "s"))
                with pytest.raises(BusTimeout):
                    await Connection.open(f"unix:path={tmp_path}/s", timeout_s=0.1)

    async def test_a_server_that_refuses_is_reported(self, tmp_path: Path) -> None:
        """Refused credentials are a clear error."""

        async def reject(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"REJECTED ANONYMOUS\r\n")
            writer.close()

        async with await asyncio.start_unix_server(reject, tmp_path / "s"):
            with pytest.raises(ConnectionLost, match="EXTERNAL"):
                await Connection.open(f"unix:path={tmp_path}/s")


class TestAddresses:
    def test_the_system_bus_has_a_well_known_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the variable the system bus is where every Linux has it; with it, where it says."""
        monkeypatch.delenv("DBUS_SYSTEM_BUS_ADDRESS", raising=False)
        assert system_address() == "unix:path=/var/run/dbus/system_bus_socket"
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/elsewhere")
        assert system_address() == "unix:path=/elsewhere"

    def test_the_session_bus_comes_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The variable first, then the runtime directory, else a clear error."""
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/session")
        assert session_address() == "unix:path=/session"
        monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
        assert session_address() == "unix:path=/run/user/7/bus"
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        with pytest.raises(ConnectionLost, match="DBUS_SESSION_BUS_ADDRESS"):
            session_address()


class TestCall:
    async def test_the_answer_comes_back(self, bus: PrivateBus) -> None:
        """What was sent is what an echo returns."""
        body = ["text", -7, 2**64 - 1, 1.5, True, b"\0\xff", [1, 2], {"k": ["v"]}, [3, "x"]]
        async with service(bus, echo), await Connection.open(bus.address) as client:
            reply = await client.call(call_message("Echo", "sitdbayaia{sas}(is)", *body), timeout_s=DEADLINE_S)
            assert reply.body == body
            assert client.pending_calls == 0

    async def test_an_error_reply_is_raised(self, bus: PrivateBus) -> None:
        """An error reply arrives as BusError with name and text."""
        async with service(bus, refuse), await Connection.open(bus.address) as client:
            with pytest.raises(BusError) as caught:
                await client.call(call_message(), timeout_s=DEADLINE_S)
            assert (caught.value.name, caught.value.text) == ("org.example.Error.No", "not today")

    async def test_a_missing_service_is_an_error(self, bus: PrivateBus) -> None:
        """Calling a name that nobody owns fails at once, in the bus's own words."""
        async with await Connection.open(bus.address) as client:
            with pytest.raises(BusError, match="ServiceUnknown"):
                await client.call(call_message(to="org.example.Nobody"), timeout_s=DEADLINE_S)

    async def test_no_answer_is_a_timeout_that_leaves_nothing(self, bus: PrivateBus) -> None:
        """After its deadline a call ends in BusTimeout and is forgotten; a late answer disturbs nobody."""
        waiting: list[Message] = []
        async with (
            service(bus, lambda _, message: waiting.append(message)) as server,
            await Connection.open(bus.address) as client,
        ):
            with pytest.raises(BusTimeout):
                await client.call(call_message(), timeout_s=0.05)
            assert client.pending_calls == 0
            server.send(Message.new_method_return(waiting[0]))
            assert await client.call_bus("GetId")

    async def test_cancelled_calls_leave_nothing(self, bus: PrivateBus) -> None:
        """A hundred cancelled calls leave no handler behind."""
        async with service(bus, never), await Connection.open(bus.address) as client:
            tasks = [asyncio.create_task(client.call(call_message(), timeout_s=DEADLINE_S)) for _ in range(100)]
            await assert_eventually_async(lambda: client.pending_calls == 100, message="all calls under way")
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert client.pending_calls == 0

    async def test_serials_wrap_and_skip_those_in_use(self, bus: PrivateBus) -> None:
        """After serial 2^32-1 comes 1, unless call 1 still waits for its answer."""
        kept: list[Message] = []

        def keep_first(connection: Connection, message: Message) -> None:
            kept.append(message)
            if len(kept) > 1:
                echo(connection, message)

        async with service(bus, keep_first) as server, await Connection.open(bus.address) as client:
            client._calls._serial = 0
            first = asyncio.create_task(client.call(call_message("Echo", "s", "first"), timeout_s=DEADLINE_S))
            await assert_eventually_async(lambda: bool(kept), message="the first call at the service")
            client._calls._serial = MAX_SERIAL - 2
            for number in range(4):
                reply = await client.call(call_message("Echo", "u", number), timeout_s=DEADLINE_S)
                assert reply.body == [number]
            assert [message.serial for message in kept] == [1, MAX_SERIAL - 1, MAX_SERIAL, 2, 3]
            echo(server, kept[0])
            assert (await first).body == ["first"]

    async def test_nobody_else_can_answer(self, bus: PrivateBus) -> None:
        """An answer forged by a third party is not taken for that of the peer that was asked."""
        calls: list[Message] = []
        async with (
            await Connection.open(bus.address, on_call=calls.append) as asked,
            await Connection.open(bus.address) as forger,
            await Connection.open(bus.address) as client,
        ):
            pending = asyncio.create_task(client.call(call_message(to=asked.unique_name), timeout_s=DEADLINE_S))
            await assert_eventually_async(lambda: bool(calls), message="the call at the peer")
            forger.send(Message.new_method_return(calls[0], "s", ["forged"]))
            await forger.call_bus("GetId")  # the bus has passed the forgery on
            asked.send(Message.new_method_return(calls[0], "s", ["true"]))
            assert (await pending).body == ["true"]

    async def test_flags_arrive_as_sent(self, bus: PrivateBus) -> None:
        """No-reply, no-auto-start and interactive-authorization reach the service, alone and together."""
        seen: list[Message] = []
        async with service(bus, lambda _, message: seen.append(message)), await Connection.open(bus.address) as client:
            for flags in range(8):
                message = call_message()
                message.flags = MessageFlag(flags)
                client.send(message)
            await assert_eventually_async(lambda: len(seen) == 8, message="eight calls")
        assert [message.flags.value for message in seen] == list(range(8))
        assert [wants_reply(message) for message in seen] == [True, False] * 4


class TestNames:
    async def test_a_name_has_one_owner(self, bus: PrivateBus) -> None:
        """The second to ask gets NameTaken, and the name once it is released."""
        async with await Connection.open(bus.address) as one, await Connection.open(bus.address) as two:
            await one.request_name(NAME)
            await one.request_name(NAME)
            with pytest.raises(NameTaken):
                await two.request_name(NAME)
            await one.release_name(NAME)
            await two.request_name(NAME)

    async def test_signals_follow_the_match_rules(self, bus: PrivateBus) -> None:
        """A broadcast is heard with a rule, and no longer once the rule is removed."""
        heard: list[Message] = []
        rule = f"type='signal',interface='{NAME}'"
        async with (
            await Connection.open(bus.address, on_signal=heard.append) as listener,
            await Connection.open(bus.address) as speaker,
        ):
            await listener.add_match(rule)
            speaker.send(Message.new_signal(PATH, NAME, "Tick", "u", [1]))
            await assert_eventually_async(
                lambda: any(message.member == "Tick" for message in heard), message="the first tick"
            )
            await listener.remove_match(rule)
            speaker.send(Message.new_signal(PATH, NAME, "Tick", "u", [2]))
            await speaker.call_bus("GetId")
            await listener.call_bus("GetId")
        assert [message.body for message in heard if message.member == "Tick"] == [[1]]


class TestIncomingCalls:
    async def test_a_failing_handler_answers_without_its_text(
        self, bus: PrivateBus, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An exception in the handler reaches neither the caller nor the log with its text; the service lives on."""

        def fail(_connection: Connection, message: Message) -> None:
            raise RuntimeError(f"secret {message.body[0]}")

        async with service(bus, fail) as server, await Connection.open(bus.address) as client:
            for _ in range(2):
                with pytest.raises(BusError) as caught:
                    await client.call(call_message("Echo", "s", "prompt"), timeout_s=DEADLINE_S)
                assert caught.value.name == "org.cortexlinux.LLMRouter.Error.Internal"
                assert "secret" not in str(caught.value)
            assert not server.closed
        assert "RuntimeError" in caplog.text
        assert "in fail" in caplog.text
        assert "prompt" not in caplog.text
        assert caught.value.text.split()[2].rstrip(",") in caplog.text

    async def test_a_client_without_methods_says_so(self, bus: PrivateBus) -> None:
        """Who calls a connection that offers nothing learns it at once, and a no-reply call changes nothing."""
        async with await Connection.open(bus.address) as one, await Connection.open(bus.address) as two:
            two.send(call_message(to=one.unique_name, quiet=True))
            with pytest.raises(BusError, match="UnknownMethod"):
                await two.call(call_message(to=one.unique_name), timeout_s=DEADLINE_S)

    async def test_vanishing_clients_disturb_nobody(self, bus: PrivateBus) -> None:
        """Answers to fifty clients that left mid-call are lost alone; the next client is served."""
        waiting: list[Message] = []
        async with service(bus, lambda _, message: waiting.append(message)) as server:
            for _ in range(50):
                async with RawPeer.open(bus.address) as peer:
                    await peer.send(call_message())
                    count = len(waiting)
                    await assert_count(waiting, count + 1, "the call")
            for message in waiting:
                echo(server, message)
            server.on_call = lambda message: echo(server, message)
            async with await Connection.open(bus.address) as client:
                assert (await client.call(call_message("Echo", "s", "x"), timeout_s=DEADLINE_S)).body == ["x"]


class TestLoss:
    async def test_a_killed_bus_ends_everything_at_once(self, bus: PrivateBus) -> None:
        """When the bus dies, pending calls fail and wait_closed returns; later calls fail, sends do nothing."""
        async with service(bus, never) as server, await Connection.open(bus.address) as client:
            calls = [asyncio.create_task(client.call(call_message(), timeout_s=3600)) for _ in range(20)]
            await assert_eventually_async(lambda: client.pending_calls == 20, message="calls under way")
            bus.kill()
            async with asyncio.timeout(DEADLINE_S):
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
                reasons = await asyncio.gather(client.wait_closed(), server.wait_closed())
            assert {type(outcome) for outcome in outcomes} == {ConnectionLost}
            assert all(reasons)
            assert client.closed
            assert client.pending_calls == 0
            with pytest.raises(ConnectionLost):
                await client.call(call_message(), timeout_s=3600)
            client.send(call_message())
            assert await client.drain(timeout_s=DEADLINE_S) in (True, False)

    async def test_closing_fails_what_is_pending(self, bus: PrivateBus) -> None:
        """close() is no different from a loss to those who wait; it can be repeated."""
        async with service(bus, never), await Connection.open(bus.address) as client:
            call = asyncio.create_task(client.call(call_message(), timeout_s=3600))
            await assert_eventually_async(lambda: client.pending_calls == 1, message="the call under way")
            await client.close()
            await client.close()
            with pytest.raises(ConnectionLost, match="closed by this side"):
                await call
            assert await client.wait_closed() == "closed by this side"

    async def test_a_cancelled_watcher_leaves_the_others_watching(self, bus: PrivateBus) -> None:
        """wait_closed can be waited for by many, and cancelled by one."""
        async with await Connection.open(bus.address) as client:
            one, two = (asyncio.create_task(client.wait_closed()) for _ in range(2))
            await asyncio.sleep(0)
            one.cancel()
            await asyncio.wait([one])
            bus.kill()
            async with asyncio.timeout(DEADLINE_S):
                assert await two

    async def test_garbage_from_the_bus_ends_the_connection(self, tmp_path: Path) -> None:
        """A stream that cannot be followed is a loss with a reason, not a crash."""

        async def talk_nonsense(peer: RawPeer, _hello: Message) -> None:
            await peer.send_bytes(b"GET / HTTP/1.1\r\n\r\n")
            await asyncio.sleep(3600)

        async with scripted_bus(tmp_path / "s", talk_nonsense) as address:
            with pytest.raises(ConnectionLost, match="no message"):
                await Connection.open(address)

    async def test_an_absurd_length_ends_the_connection(self, tmp_path: Path) -> None:
        """Nobody waits for a message of two gigabytes."""

        async def promise_much(peer: RawPeer, hello: Message) -> None:
            data = bytearray(hello_answer(peer, hello))
            struct.pack_into("<I", data, 4, 2**31)
            await peer.send_bytes(data)
            await asyncio.sleep(3600)

        async with scripted_bus(tmp_path / "s", promise_much) as address:
            with pytest.raises(ConnectionLost, match="bytes"):
                await Connection.open(address)


class TestUnreadable:
    async def test_an_unreadable_body_is_refused_alone(self, tmp_path: Path) -> None:
        """A call whose body does not fit its signature gets Internal, one with an unreadable header is skipped."""
        answers: list[Message] = []
        ready = asyncio.Event()

        async def send_bad_bodies(peer: RawPeer, hello: Message) -> None:
            await peer.send_bytes(hello_answer(peer, hello))
            await ready.wait()
            call = peer.encode(call_message("Echo", "su", "x", 1))
            at = call.index(b"\2su\0")
            call[at : at + 4] = b"\2ss\0"
            await peer.send_bytes(call)
            bad_header = peer.encode(call_message("Echo", "s", "x"))
            at = bad_header.index(b"\1s\0")
            bad_header[at : at + 3] = b"\1!\0"
            await peer.send_bytes(bad_header)
            await peer.send(call_message("Echo", "s", "good"))
            answers.append(await peer.receive(MessageType.ERROR))
            answers.append(await peer.receive(MessageType.METHOD_RETURN))
            await asyncio.sleep(3600)

        async with (
            scripted_bus(tmp_path / "s", send_bad_bodies) as address,
            await Connection.open(address) as connection,
        ):
            connection.on_call = lambda message: echo(connection, message)
            ready.set()
            await assert_eventually_async(lambda: len(answers) == 2, message="both answers")
            assert answers[0].error_name.endswith("Error.Internal")
            assert answers[1].body == ["good"]
            assert not connection.closed


class TestRawPeer:
    async def test_an_unrequested_answer_is_ignored(self, bus: PrivateBus) -> None:
        """Answers to calls never made change nothing."""
        async with await Connection.open(bus.address) as client, RawPeer.open(bus.address) as peer:
            for serial in (1, 2, 3, MAX_SERIAL):
                answer = Message(
                    message_type=MessageType.METHOD_RETURN, destination=client.unique_name, reply_serial=serial
                )
                await peer.send(answer)
            assert await client.call_bus("GetId")
