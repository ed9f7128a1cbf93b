"""Content that stock dbus-next or dbus-daemon would answer by ending the service's connection."""

from __future__ import annotations

import gc
import struct

import pytest
from dbus_next import Message, MessageType, Variant
from dbus_next.signature import SignatureTree

from cortexd.connection import BusError, Connection, MessageTooLarge, TooManyValues, Unsendable
from cortexd.connection.decode import read_header
from cortexd.connection.signatures import MAX_CACHED
from tests.bus.private_dbus import (  # noqa: F401
    DEADLINE_S,
    NAME,
    PATH,
    PrivateBus,
    bus_fixture,
    call_message,
    echo,
    no_leaks_fixture,
    service,
)
from tests.bus.raw_peer import RawPeer, with_field
from tests.eventually import assert_eventually_async

INTERNAL = "org.cortexlinux.LLMRouter.Error.Internal"
TOO_LARGE = "org.cortexlinux.LLMRouter.Error.TooLarge"


def nested(depth: int) -> Variant:
    value = Variant("s", "core")
    for _ in range(depth - 1):
        value = Variant("v", value)
    return value


UNSENDABLE = {
    "NUL in a string": ("s", ["a\0b"]),
    "NUL in a variant": ("a{sv}", [{"k": Variant("s", "\0")}]),
    "NUL in a key": ("a{ss}", [{"\0": ""}]),
    "NUL in a variant's key": ("a{sv}", [{"\0": Variant("s", "")}]),
    "NUL in a variant's long key": ("a{sv}", [{"k" * 99 + "\0": Variant("s", "")}]),
    "bytes for a variant's key": ("a{sv}", [{b"k": Variant("s", "")}]),
    "a plain value in a dictionary of variants": ("a{sv}", [{"k": "v"}]),
    "a lone surrogate": ("s", ["\ud800"]),
    "not a string": ("s", [7]),
    "bytes for a string": ("s", [b"x"]),
    "None": ("s", [None]),
    "an integer past 32 bits": ("u", [2**32]),
    "an integer past 64 bits": ("t", [2**70]),
    "a negative unsigned": ("t", [-1]),
    "a float for an integer": ("i", [1.5]),
    "an integer past a double": ("d", [10**400]),
    "an integer for a boolean": ("b", [1]),
    "a string for an array": ("as", ["abc"]),
    "a list for a dictionary": ("a{ss}", [["a"]]),
    "a short struct": ("(ss)", [["a"]]),
    "too few values": ("ss", ["a"]),
    "too many values": ("s", ["a", "b"]),
    "a plain value for a variant": ("v", ["a"]),
    "an invalid path": ("o", ["/a//b"]),
    "a path with a newline": ("o", ["/a\n"]),
    "an invalid signature": ("g", ["(("]),
    "a loose dictionary entry": ("g", ["{sv}"]),
    "a dictionary with variant keys": ("g", ["a{vs}"]),
    "a deep signature": ("g", ["a" * 33 + "s"]),
    "variants 65 deep": ("v", [nested(65)]),
    "a descriptor it does not carry": ("h", [0]),
}


class TestUnsendable:
    @pytest.mark.parametrize("what", UNSENDABLE)
    async def test_an_answer_becomes_internal_and_the_service_lives(self, bus: PrivateBus, what: str) -> None:
        """An answer that the bus would not take becomes the error Internal; the next call is served."""
        signature, body = UNSENDABLE[what]

        def answer(connection: Connection, message: Message) -> None:
            if message.member == "Echo":
                echo(connection, message)
            else:
                connection.send(Message.new_method_return(message, signature, body))

        async with service(bus, answer) as server, await Connection.open(bus.address) as client:
            with pytest.raises(BusError) as caught:
                await client.call(call_message("Bad"), timeout_s=DEADLINE_S)
            assert caught.value.name == INTERNAL
            assert (await client.call(call_message("Echo", "s", "x"), timeout_s=DEADLINE_S)).body == ["x"]
            assert not server.closed

    async def test_an_error_text_with_nul_becomes_internal(self, bus: PrivateBus) -> None:
        """The text of an error reply is held to the same rules."""

        def answer(connection: Connection, message: Message) -> None:
            connection.send(Message.new_error(message, "org.example.Error", "a\0b"))

        async with service(bus, answer), await Connection.open(bus.address) as client:
            with pytest.raises(BusError, match=INTERNAL):
                await client.call(call_message(), timeout_s=DEADLINE_S)

    async def test_a_signal_is_a_log_line_without_its_content(
        self, bus: PrivateBus, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A signal that cannot be sent is logged, by our own logger, without its content."""
        async with await Connection.open(bus.address) as connection:
            connection.send(Message.new_signal(PATH, NAME, "Tick", "s", ["secret\0"]))
            assert await connection.call_bus("GetId")
        assert "signal not sent" in caplog.text
        assert "secret" not in caplog.text
        assert {record.name for record in caplog.records} == {"cortexd.connection"}

    async def test_a_call_raises_and_leaves_nothing(self, bus: PrivateBus) -> None:
        """A call with such content fails at the caller, and no handler stays behind."""
        async with await Connection.open(bus.address) as client:
            for signature, body in UNSENDABLE.values():
                message = call_message()
                message.signature, message.signature_tree = signature, SignatureTree(signature)
                message.body = body
                with pytest.raises(Unsendable):
                    await client.call(message, timeout_s=DEADLINE_S)
            assert client.pending_calls == 0
            assert await client.call_bus("GetId")

    async def test_a_header_changed_to_nonsense_is_refused(self, bus: PrivateBus) -> None:
        """Names are checked when sent, not only when the message was made."""
        async with await Connection.open(bus.address) as client:
            for field in ("path", "interface", "member", "destination"):
                message = call_message()
                setattr(message, field, getattr(message, field) + "\n")
                with pytest.raises(Unsendable):
                    await client.call(message, timeout_s=DEADLINE_S)
            assert await client.call_bus("GetId")


class TestSizes:
    async def test_an_answer_of_40_mb_becomes_too_large(self, bus: PrivateBus) -> None:
        """An answer past the bus's limit becomes TooLarge with a clear text; one of 30 MB arrives whole."""
        sizes = {"Small": 30_000_000, "Big": 40_000_000}

        def answer(connection: Connection, message: Message) -> None:
            connection.send(Message.new_method_return(message, "s", ["x" * sizes[message.member]]))

        async with service(bus, answer) as server, await Connection.open(bus.address) as client:
            with pytest.raises(BusError, match="the bus takes") as caught:
                await client.call(call_message("Big"), timeout_s=DEADLINE_S)
            assert caught.value.name == TOO_LARGE
            reply = await client.call(call_message("Small"), timeout_s=DEADLINE_S)
            assert len(reply.body[0]) == 30_000_000
            assert not server.closed

    async def test_a_large_byte_array_is_refused_too(self, bus: PrivateBus) -> None:
        """The limit holds for every kind of content."""
        async with await Connection.open(bus.address) as client:
            for signature, value in (("ay", bytes(40_000_000)), ("ad", [0.0] * 5_000_000)):
                with pytest.raises(MessageTooLarge):
                    await client.call(call_message("Echo", signature, value), timeout_s=DEADLINE_S)

    async def test_a_call_of_too_many_values_is_refused_unread(self, bus: PrivateBus) -> None:
        """A message that would unpack to more values than allowed gets TooLarge; the service never sees it."""
        seen: list[str] = []

        def serve(connection: Connection, message: Message) -> None:
            seen.append(message.member)
            echo(connection, message)

        bodies = (
            ("av", [Variant("y", 1)] * 2000),
            ("as", [""] * 2000),
            ("an", [1] * 2000),
            ("a(yyyy)", [[1, 1, 1, 1]] * 300),
            ("a{uu}", dict.fromkeys(range(2000), 0)),
            ("aay", [b""] * 2000),
        )
        async with service(bus, serve, max_values=1000), await Connection.open(bus.address) as client:
            for signature, value in bodies:
                with pytest.raises(BusError, match="too many values") as caught:
                    await client.call(call_message("Many", signature, value), timeout_s=DEADLINE_S)
                assert caught.value.name == TOO_LARGE
            reply = await client.call(call_message("Few", "as", [""] * 900), timeout_s=DEADLINE_S)
            assert len(reply.body[0]) == 900
        assert seen == ["Few"]

    async def test_an_answer_of_too_many_values_is_an_error(self, bus: PrivateBus) -> None:
        """A client is protected from a service in the same way."""
        async with service(bus, echo), await Connection.open(bus.address, max_values=100) as client:
            with pytest.raises(TooManyValues):
                await client.call(call_message("Echo", "as", [""] * 200), timeout_s=DEADLINE_S)
            assert client.pending_calls == 0

    async def test_dictionaries_of_variants_pass(self, bus: PrivateBus) -> None:
        """Keys of every length and values of every kind come back as they were, beside each other and nested."""
        kinds = [("s", "é"), ("b", True), ("x", -5), ("d", 0.5), ("ay", b"\0\1"), ("as", ["a", ""]), ("y", 7), ("q", 9)]
        values = {"k" * n: Variant(*kinds[n % len(kinds)]) for n in range(130)}
        nest = {"é": Variant("aa{sv}", [values, {}]), "": Variant("a{sv}", values)}
        async with service(bus, echo), await Connection.open(bus.address) as client:
            for _ in range(2):  # written anew, then from the cache
                reply = await client.call(call_message("Echo", "a{sv}", nest), timeout_s=DEADLINE_S)
                assert reply.body == [nest]

    async def test_variants_64_deep_pass(self, bus: PrivateBus) -> None:
        """The deepest nesting that the bus takes is taken both ways."""
        async with service(bus, echo), await Connection.open(bus.address) as client:
            reply = await client.call(call_message("Echo", "v", nested(64)), timeout_s=DEADLINE_S)
            assert reply.body == [nested(64)]


class TestSignatures:
    async def test_distinct_variant_signatures_do_not_pile_up(self, bus: PrivateBus) -> None:
        """Twenty thousand signatures chosen by a caller leave a bounded cache, and every value arrives."""
        codes = "ybnqiux"
        total = 0

        def count(connection: Connection, message: Message) -> None:
            nonlocal total
            total += len(message.body[0])
            connection.send(Message.new_method_return(message, "u", [len(message.body[0])]))

        async with service(bus, count), await Connection.open(bus.address) as client:
            for block in range(40):
                variants = []
                for number in range(block * 500, block * 500 + 500):
                    digits = [codes[number // 7**place % 7] for place in range(6)]
                    values = [digit == "b" or 1 for digit in digits]
                    variants.append(Variant(f"({''.join(digits)})", values))
                await client.call(call_message("Count", "av", variants), timeout_s=DEADLINE_S)
                assert len(SignatureTree._cache) <= MAX_CACHED
        assert total == 20_000

    async def test_many_signatures_in_one_message_are_charged_by_length(self, bus: PrivateBus) -> None:
        """One message cannot hold more parsed signatures than values."""
        variants = [Variant("a(" + "s" * (number + 1) + ")", []) for number in range(200)]
        SignatureTree._cache.clear()
        gc.collect()
        async with service(bus, echo, max_values=5000), await Connection.open(bus.address) as client:
            SignatureTree._cache.clear()
            with pytest.raises(BusError, match="too many values"):
                await client.call(call_message("Echo", "av", variants), timeout_s=DEADLINE_S)


class TestOddMessages:
    """What the D-Bus specification tells a receiver to ignore."""

    async def test_unknown_header_fields_and_flags_are_ignored(self, bus: PrivateBus) -> None:
        """A call with an unknown header field and unknown flags is served like any other."""
        async with service(bus, echo) as server, RawPeer.open(bus.address) as peer:
            data = bytes(peer.encode(call_message("Echo", "s", "x")))
            await peer.send_bytes(with_field(data, 200, b"\1s\0\2\0\0\0hi\0"))
            assert (await peer.receive(MessageType.METHOD_RETURN)).body == ["x"]
            flagged = bytearray(peer.encode(call_message("Echo", "s", "y")))
            flagged[2] |= 0xF8
            await peer.send_bytes(flagged)
            assert (await peer.receive(MessageType.METHOD_RETURN)).body == ["y"]
            assert not server.closed

    async def test_unknown_message_types_are_ignored(self, bus: PrivateBus) -> None:
        """A message of a type to come changes nothing, with or without a body."""
        async with service(bus, echo) as server, RawPeer.open(bus.address) as peer:
            for kind in (5, 77, 255):
                data = peer.encode(call_message("Echo", "s", "x"))
                data[1] = kind
                await peer.send_bytes(data)
            await peer.send(call_message("Echo", "s", "y"))
            assert (await peer.receive(MessageType.METHOD_RETURN)).body == ["y"]
            assert not server.closed

    async def test_big_endian_callers_are_understood(self, bus: PrivateBus) -> None:
        """A message in the other byte order is read like any other."""
        seen: list[Message] = []
        async with service(bus, lambda _, message: seen.append(message)), RawPeer.open(bus.address) as peer:
            await peer.send_bytes(big_endian_call())
            await assert_eventually_async(lambda: bool(seen), message="the call")
        assert seen[0].body == ["big", 7, [1, 2], 1.5]
        assert (seen[0].member, seen[0].sender, seen[0].serial) == ("Big", peer.unique_name, 9)

    def test_unknown_parts_are_ignored_wherever_a_bus_passes_them_on(self) -> None:
        """Some buses strip unknown header fields, ours need not: the reader itself ignores them."""
        data = bytes(RawPeer.encode(_NoPeer(), call_message("Echo", "s", "x")))
        odd = bytearray(with_field(data, 200, b"\1v\0\1s\0\0\2\0\0\0hi\0"))
        odd[2] = 0xFB
        frame = read_header(bytes(odd))
        frame.read_body(100)
        assert (frame.message.member, frame.message.body, frame.message.flags.value) == ("Echo", ["x"], 3)


class _NoPeer(RawPeer):
    def __init__(self) -> None:
        self._serial = 0


def big_endian_call() -> bytes:
    def text(value: str) -> bytes:
        return struct.pack(">I", len(value)) + value.encode() + b"\0"

    fields = bytearray()
    for code, kind, value in ((1, "o", PATH), (2, "s", NAME), (3, "s", "Big"), (6, "s", NAME)):
        fields += bytes(-len(fields) % 8) + bytes((code, 1, ord(kind), 0)) + text(value)
    fields += bytes(-len(fields) % 8) + b"\x08\1g\0\5suaid\0"
    body = text("big") + struct.pack(">I", 7) + struct.pack(">I", 8) + struct.pack(">ii", 1, 2)
    body += bytes(-len(body) % 8) + struct.pack(">d", 1.5)
    head = b"B\1\1\1" + struct.pack(">III", len(body), 9, len(fields))
    return head + bytes(fields) + bytes(-len(fields) % 8) + body
