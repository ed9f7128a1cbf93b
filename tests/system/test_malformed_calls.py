"""Calls that do not fit: each gets a standard error that says what is wrong, and nobody else notices."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dbus_next import Message, Variant

from cortexd.connection import BusError, BusException, MessageTooLarge, Unsendable, system_address
from simulated import ControlClient
from tests.bus.raw_peer import RawPeer
from tests.system.footprint import resident_mb
from tests.system.program import (
    ERROR,
    INTROSPECTABLE,
    NAME,
    PATH,
    PEER,
    PROPERTIES,
    STANDARD,
    USAGE,
    Program,
    message,
    messages,
    refused,
)
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

WARM = True
TURNS = messages("hello")
MIB = 2**20


@pytest.fixture
async def caller(shared: Shared) -> AsyncIterator[Program]:
    """A connection of root's, which still works when the test is over, as does the daemon."""
    async with await Program.open() as program:
        yield program
        assert (await program.complete("code_generation", "still there")).content.endswith("still there")
        assert not program.connection.closed
    shared.daemon.assert_clean_log()


def route(options: dict[str, Variant], turns: Any = None) -> Message:
    return message("Route", "saa{sv}a{sv}", "user_chat", TURNS if turns is None else turns, options)


class TestWrongCalls:
    @pytest.mark.parametrize(
        ("call", "name", "text"),
        [
            (message("Ask", "s", "user_chat"), "InvalidArgs", "Ask takes (ss), got (s)"),
            (message("Ask"), "InvalidArgs", "Ask takes (ss), got ()"),
            (message("Ask", "sss", "user_chat", "x", "y"), "InvalidArgs", "got (sss)"),
            (message("Ask", "sv", "user_chat", Variant("s", "x")), "InvalidArgs", "got (sv)"),
            (message("Complete", "sa{sv}", "user_chat", {}), "InvalidArgs", "takes (saa{sv}), got (sa{sv})"),
            (message("Unsubscribe", "i", 1, interface=USAGE), "InvalidArgs", "takes (u), got (i)"),
            (message("GetStats", "y", 1, interface=USAGE), "InvalidArgs", "got (y)"),
            (message("ask", "ss", "user_chat", "x"), "UnknownMethod", "no method org.cortexlinux.LLMRouter.ask"),
            (message("GetStats"), "UnknownMethod", "GetStats"),
            (message("Ask", "ss", "user_chat", "x", interface=USAGE), "UnknownMethod", "Usage.Ask"),
            (message("Ask", "ss", "user_chat", "x", path="/"), "UnknownObject", "use /org/cortexlinux/LLMRouter"),
            (message("Ask", "ss", "user_chat", "x", path=f"{PATH}/x"), "UnknownObject", "LLMRouter/x"),
            (message("Ping", "s", "x", interface=PEER), "UnknownMethod", "Peer.Ping"),
            (message("Pong", interface=PEER), "UnknownMethod", "Peer.Pong"),
            (message("Introspect", path="/no/such", interface=INTROSPECTABLE), "UnknownObject", "/no/such"),
            (message("Introspect", path="/org/cortex", interface=INTROSPECTABLE), "UnknownObject", "/org/cortex"),
            (message("Introspect", path="/org/cortexlinux/LLMRouter/x", interface=INTROSPECTABLE), "UnknownObject", ""),
            (message("Get", "ss", NAME, "Nothing", interface=PROPERTIES), "UnknownProperty", "LLMRouter.Nothing"),
            (message("Get", "ss", "", "Version", interface=PROPERTIES), "UnknownProperty", "Version"),
            (message("Get", "ss", NAME, "Version", interface=PROPERTIES, path="/org"), "UnknownProperty", "at /org"),
            (message("Get", "s", "Version", interface=PROPERTIES), "UnknownMethod", "Properties.Get"),
            (message("Set", "ssv", NAME, "Version", Variant("s", "9"), interface=PROPERTIES), "PropertyReadOnly", ""),
            (message("Set", "ssv", NAME, "Nothing", Variant("s", "9"), interface=PROPERTIES), "UnknownProperty", ""),
            (message("Ask", "ss", "user_chat", "x", interface=f"{NAME}.Secret"), "AccessDenied", ""),
            (message("Ask", "ss", "user_chat", "x", interface=None), "AccessDenied", ""),
        ],
    )
    async def test_is_answered(self, caller: Program, call: Message, name: str, text: str) -> None:
        """A call that is not in the interface file gets the error that every D-Bus program knows."""
        with refused(f"{STANDARD}{name}") as words:
            await caller.send(call)
        assert text in words[0]

    async def test_get_all(self, caller: Program) -> None:
        """GetAll gives seven properties, and none of an interface that has none or does not exist."""
        [everything] = await caller.send(message("GetAll", "s", NAME, interface=PROPERTIES))
        assert len(everything) == 7
        for interface in (USAGE, "", "org.example.Nothing"):
            assert await caller.send(message("GetAll", "s", interface, interface=PROPERTIES)) == [{}]


class TestWrongContent:
    @pytest.mark.parametrize(
        ("options", "name", "text"),
        [
            ({"temprature": Variant("d", 1.0)}, "InvalidArgument", "unknown option; did you mean 'temperature'?"),
            ({"": Variant("s", "")}, "InvalidArgument", "unknown option"),
            ({"temperature": Variant("d", float("nan"))}, "InvalidArgument", "options.temperature: expected a number"),
            ({"temperature": Variant("d", float("-inf"))}, "InvalidArgument", "options.temperature"),
            ({"temperature": Variant("s", "1")}, "InvalidArgument", "options.temperature"),
            ({"max_tokens": Variant("t", 2**64 - 1)}, "InvalidArgument", "options.max_tokens"),
            ({"max_tokens": Variant("b", True)}, "InvalidArgument", "options.max_tokens"),
            ({"max_tokens": Variant("i", -1)}, "InvalidArgument", "options.max_tokens"),
            ({"deadline_ms": Variant("x", 2**62)}, "InvalidArgument", "options.deadline_ms"),
            ({"max_cost_usd": Variant("d", -1.0)}, "InvalidArgument", "options.max_cost_usd"),
            ({"request_id": Variant("s", "../../etc")}, "InvalidArgument", "options.request_id"),
            ({"request_id": Variant("s", "x" * 65)}, "InvalidArgument", "options.request_id"),
            ({"request_id": Variant("s", "two\nlines")}, "InvalidArgument", "options.request_id"),
            ({"labels": Variant("a{sv}", {"a": Variant("i", 1)})}, "InvalidArgument", "options.labels"),
            ({"labels": Variant("as", ["a"])}, "InvalidArgument", "options.labels"),
            ({"labels": Variant("a{yy}", {1: 2})}, "InvalidArgument", "options.labels"),
            ({"tools": Variant("s", "x")}, "InvalidArgument", "options.tools"),
            ({"tools": Variant("aa{sv}", [{}])}, "InvalidArgument", "options.tools[0].name"),
            ({"tools": Variant("(s(s))", ["x", ["y"]])}, "InvalidArgument", "options.tools[0]"),
            ({"response_schema": Variant("s", '{"a":' * 50_000)}, "InvalidArgument", "options.response_schema"),
            ({"response_schema": Variant("s", "[" * 100_000)}, "InvalidArgument", "options.response_schema"),
            ({"response_schema": Variant("s", "9" * 100_000)}, "InvalidArgument", "options.response_schema"),
            ({"response_schema": Variant("ay", b"{}")}, "InvalidArgument", "options.response_schema"),
            ({"provider": Variant("o", "/")}, "UnknownProvider", "'/'"),
            ({"provider": Variant("s", "x" * 300)}, "InvalidArgument", "options.provider"),
            ({"privacy": Variant("v", Variant("v", Variant("s", "none")))}, "InvalidArgument", "options.privacy"),
        ],
    )
    async def test_option(self, caller: Program, options: dict[str, Variant], name: str, text: str) -> None:
        """An option out of range is refused by its path, before anything is spent."""
        for call in (route(options), message("CompleteWithOptions", "saa{sv}a{sv}", "user_chat", TURNS, options)):
            with refused(name) as words:
                await caller.send(call)
            assert text in words[0]
            assert len(words[0]) < 1000

    @pytest.mark.parametrize(
        ("turns", "text"),
        [
            ([], "expected at least one message"),
            ([{}], "messages[0].role"),
            ([{"role": Variant("s", "user")}], "messages[0].content"),
            ([{"role": Variant("s", "usr"), "content": Variant("s", "x")}], "messages[0].role: expected one of"),
            ([{"role": Variant("s", "user"), "content": Variant("i", 1)}], "messages[0].content"),
            ([{"role": Variant("s", "user"), "content": Variant("as", ["x"])}], "messages[0].content[0]"),
            ([{"role": Variant("s", "user"), "content": Variant("ay", b"x")}], "messages[0].content"),
            ([*TURNS, {"role": Variant("s", "tool"), "content": Variant("s", "x")}], "messages[1].tool_call_id"),
        ],
    )
    async def test_messages(self, caller: Program, turns: Any, text: str) -> None:
        """A message that makes no sense is refused by its path."""
        with refused("InvalidArgument") as words:
            await caller.send(message("Complete", "saa{sv}", "user_chat", turns))
        assert text in words[0]

    async def test_characters_that_the_bus_refuses(self, caller: Program, simulated: ControlClient) -> None:
        """Noncharacters in a prompt come back, from a provider that repeats them, as U+FFFD; all else untouched."""
        answer = await caller.complete("user_chat", "a\uffff\ufdd0\U0010fffe \u202e 😀 \x01\x7f b")
        assert answer.content.endswith("a\ufffd\ufffd\ufffd \u202e 😀 \x01\x7f b")

    async def test_unknown_names_of_eight_million_characters(self, caller: Program) -> None:
        """A huge key or task type is refused in a short text."""
        huge = "x" * (8 * MIB)
        for name, call in (
            ("InvalidArgument", route({huge: Variant("s", "")})),
            ("UnknownTaskType", message("Route", "saa{sv}a{sv}", huge, TURNS, {})),
            ("InvalidArgument", route({}, [{huge: Variant("s", "")}])),
            ("InvalidArgument", route({"provider": Variant("s", huge)})),
            ("InvalidArgument", message("Subscribe", "a{sv}", {huge: Variant("s", "")}, interface=USAGE)),
            (f"{STANDARD}UnknownProperty", message("Get", "ss", NAME, huge, interface=PROPERTIES)),
        ):
            with refused(name) as words:
                await caller.send(call)
            assert len(words[0]) < 10_000


class TestDepth:
    @pytest.mark.parametrize("depth", [10, 40, 58, 59, 60, 61, 62, 63, 64])
    async def test_variants_within_variants(self, caller: Program, depth: int) -> None:
        """Up to what the bus carries they are taken apart and refused; beyond, the sender does not get them out."""
        value = Variant("s", "deep")
        for _ in range(depth):
            value = Variant("v", value)
        try:
            with refused("InvalidArgument", "UnknownProvider"):
                await caller.send(route({"provider": value}))
        except Unsendable:
            assert depth > 55

    async def test_arrays_and_structs_within_each_other(self, caller: Program) -> None:
        """32 arrays and 31 structs deep, the most that a signature may hold."""
        arrays = Variant("a" * 30 + "s", nested(30))
        structs = Variant("(" * 31 + "y" + ")" * 31, nested(31, 7))
        for value in (arrays, structs):
            with refused("InvalidArgument"):
                await caller.send(route({"tools": value}))


def nested(depth: int, core: Any = "s") -> Any:
    for _ in range(depth):
        core = [core]
    return core


class TestSize:
    async def test_prompts(self, caller: Program, simulated: ControlClient) -> None:
        """3.9 MB are answered; more than the model takes is the provider's refusal; more than the limit is ours."""
        assert (await caller.complete("user_chat", "x" * 3_900_000)).metadata["input_tokens"] == 975_000
        with refused("ProviderFailed", "NoProviderAvailable"):
            await caller.complete("user_chat", "x" * (8 * MIB), fallback=False)
        requests = simulated.counts("claude").requests
        for size in (8 * MIB + 1, 20 * MIB, 30 * MIB):
            with refused("TooLarge") as words:
                await caller.complete("user_chat", "x" * size)
            assert f"got {size}" in words[0]
        assert simulated.counts("claude").requests == requests

    async def test_beyond_the_bus(self, caller: Program) -> None:
        """32 MiB do not leave the caller; sent past all checks the bus disconnects the caller, not the daemon."""
        with pytest.raises(MessageTooLarge):
            await caller.complete("user_chat", "x" * (32 * MIB))
        async with RawPeer.open(system_address()) as peer:
            header = bytes(peer.encode(message("Ask", "ss", "user_chat", "x")))
            await disconnected(peer, header[:4] + (33 * MIB).to_bytes(4, "little") + header[8:])

    async def test_too_many_values(self, caller: Program, shared: Shared) -> None:
        """A message of a million empty values is refused without being unpacked."""
        before = resident_mb(shared.daemon.pid)
        for _ in range(3):
            with refused("TooLarge"):
                await caller.send(route({}, [{}] * 200_000))
            with refused("TooLarge"):
                await caller.send(route({"option": Variant("av", [Variant("y", 1)] * 300_000)}))
        assert resident_mb(shared.daemon.pid) < before + 100

    async def test_20000_distinct_signatures(self, caller: Program, shared: Shared) -> None:
        """Signatures chosen by a caller do not pile up in the daemon."""
        before = resident_mb(shared.daemon.pid)
        letters = itertools.product("ybnqiuxtd", repeat=5)
        for _ in range(200):
            chosen = ["(" + "".join(next(letters)) + ")" for _ in range(100)]
            with refused("InvalidArgument"):
                await caller.send(route({item: Variant(item, zeros(item)) for item in chosen}))
        for signature in itertools.islice(letters, 500):
            caller.connection.send(message("Ask", "".join(signature), *zeros("".join(signature)), quiet=True))
        await caller.send(message("Ping", interface=PEER))
        assert resident_mb(shared.daemon.pid) < before + 60


def zeros(signature: str) -> list[Any]:
    return [{"b": False, "d": 0.0}.get(letter, 0) for letter in signature.strip("()")]


async def disconnected(peer: RawPeer, data: bytes) -> None:
    """The bus ends the connection of who sends this."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        try:
            await peer.send_bytes(data)
            while await loop.sock_recv(peer.sock, 65536):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass


class TestRawBytes:
    async def test_what_is_no_message(self, caller: Program) -> None:
        """The bus disconnects who sends it; nothing of it reaches the daemon."""
        for data in (b"GET / HTTP/1.1\r\n\r\n", bytes(64), b"l" + b"\xff" * 63, random.Random(1).randbytes(4096)):
            async with RawPeer.open(system_address()) as peer:
                await disconnected(peer, data)

    async def test_half_a_message(self, caller: Program) -> None:
        """Lone bytes, or half a call and then the end, reach nobody."""
        for length in (1, 15, 16, 60):
            async with RawPeer.open(system_address()) as peer:
                await peer.send_bytes(bytes(peer.encode(message("Ask", "ss", "user_chat", "half")))[:length])

    async def test_a_string_that_is_not_utf8(self, caller: Program) -> None:
        """The bus disconnects who sends a surrogate, an overlong sequence or U+0000 in a string."""
        for bad in (b"\xed\xa0\x80", b"\xc0\x80\x20", b"\xff\xfe\xfd", b"a\0b"):
            async with RawPeer.open(system_address()) as peer:
                data = bytes(peer.encode(message("Ask", "ss", "user_chat", "BAD")))
                assert data.count(b"BAD") == 1
                await disconnected(peer, data.replace(b"BAD", bad))

    async def test_messages_with_bits_flipped(self, caller: Program) -> None:
        """Two hundred damaged calls: disconnected, refused or answered, the daemon serves on."""
        dice = random.Random(7)
        for _ in range(200):
            async with RawPeer.open(system_address()) as peer:
                data = bytearray(peer.encode(route({"option": Variant("a{sv}", {"key": Variant("as", ["value"])})})))
                for _ in range(3):
                    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
                await peer.send_bytes(data)
        assert (await caller.send(message("Ping", interface=PEER))) == []


class TestRandomContent:
    ALLOWED = ("InvalidArgument", "TooLarge", "UnknownProvider", "UnknownTaskType", "NoProviderAvailable")

    @pytest.mark.parametrize("seed", range(4))
    async def test_500_calls(self, caller: Program, seed: int) -> None:
        """Whatever values stand where others are expected, the answer is a result or an error with a reason."""
        dice = Dice(seed)
        answers: set[str] = set()
        for _ in range(5):
            answers.update(await asyncio.gather(*(self.outcome(caller, dice) for _ in range(100))))
        assert answers <= {"", *(f"{ERROR}.{name}" for name in self.ALLOWED)}, answers
        assert "" in answers

    async def outcome(self, caller: Program, dice: Dice) -> str:
        """The name of the error, or nothing."""
        try:
            if dice.choose((True, False)):
                await caller.send(route(dice.options(), dice.turns()))
            else:
                await caller.send(message("Subscribe", "a{sv}", dice.table(0), interface=f"{NAME}.Usage"))
        except BusError as error:
            return "" if error.name.endswith(".RateLimited") else error.name
        except BusException as error:
            raise AssertionError(error) from None
        return ""


class Dice(random.Random):
    """Random D-Bus values that are sometimes nearly right."""

    KEYS = ("role", "content", "provider", "tools", "labels", "max_tokens", "name", "type", "temperature", "x")
    TEXTS = ("", "user", "claude", "tool", "text", "auto", "{}", "\uffff", "é" * 40, "local")

    def choose(self, options: Any) -> Any:
        return self.choice(options)

    def value(self, depth: int) -> Variant:
        made = (
            lambda: Variant("s", self.choose(self.TEXTS)),
            lambda: Variant("i", self.randint(-(2**31), 2**31 - 1)),
            lambda: Variant("t", self.getrandbits(64)),
            lambda: Variant("d", self.choose((0.0, 1.5, float("nan"), float("inf"), 1e308))),
            lambda: Variant("b", self.choose((True, False))),
            lambda: Variant("ay", self.randbytes(4)),
            lambda: Variant("as", self.choices(self.TEXTS, k=2)),
            lambda: Variant("o", "/a"),
            lambda: Variant("a{sv}", self.table(depth + 1)),
            lambda: Variant("aa{sv}", [self.table(depth + 1) for _ in range(self.randint(0, 2))]),
            lambda: Variant("v", self.value(depth + 1)),
            lambda: Variant("(sv)", ["x", self.value(depth + 1)]),
            lambda: Variant("a{sx}", {"role": 1}),
        )
        return self.choose(made[: 8 if depth > 3 else None])()

    def table(self, depth: int) -> dict[str, Variant]:
        return {key: self.value(depth) for key in self.sample(self.KEYS, self.randint(0, 3))}

    def options(self) -> dict[str, Variant]:
        return {key: self.value(0) for key in self.sample(self.KEYS[2:], self.randint(0, 2))}

    def turns(self) -> list[dict[str, Variant]]:
        good = {"role": Variant("s", "user"), "content": Variant("s", "x")}
        return [{**good, **self.table(0)} if self.choose((True, False)) else good for _ in range(self.randint(0, 3))]
