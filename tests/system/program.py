"""The tests' own process as a program on the bus: root, one connection, calls with rich arguments, signals heard.

`program` is a connection per test; `Program.open` makes more of them, each closed by `async with` or `close`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from dbus_next import Message, MessageFlag, Variant

from cortexd.connection import BusError, Connection, system_address
from tests.eventually import assert_eventually_async
from tests.system.daemon import SIMULATED_KEYS

NAME = "org.cortexlinux.LLMRouter"
PATH = "/org/cortexlinux/LLMRouter"
USAGE = f"{NAME}.Usage"
MANAGER = f"{NAME}.Manager"
ERROR = f"{NAME}.Error"
STANDARD = "org.freedesktop.DBus.Error."
PROPERTIES = "org.freedesktop.DBus.Properties"
INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
PEER = "org.freedesktop.DBus.Peer"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    content: str
    metadata: Json

    @property
    def cost_nano(self) -> int:
        return int(self.metadata["cost_nano_usd"])

    @property
    def attempts(self) -> list[tuple[str, str]]:
        """(provider, outcome), in order."""
        return [(row["provider"], row["outcome"]) for row in self.metadata["attempts"]]


@dataclass(frozen=True, slots=True)
class Signal:
    member: str
    body: list[Any]
    destination: str | None


@dataclass(slots=True)
class Program:
    """`signals`: all that the service sent, in order, since the connection was opened. `patience_s`: of a call."""

    connection: Connection
    signals: list[Signal] = field(default_factory=list)
    patience_s: float = 60.0

    @classmethod
    async def open(cls, address: str | None = None) -> Self:
        """On the system bus, or where `address` leads."""
        program = cls(await Connection.open(address or system_address()))
        program.connection.on_signal = program._hear
        return program

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.connection.close()

    async def send(self, call: Message, timeout_s: float | None = None) -> list[Any]:
        """The results as plain values. Raises BusError, whose text is checked to give nothing away."""
        try:
            reply = await self.connection.call(call, timeout_s=timeout_s or self.patience_s)
            return [plain(value) for value in reply.body]
        except BusError as error:
            assert_reveals_nothing(error.text)
            raise

    async def call(
        self, interface: str, member: str, signature: str = "", *arguments: Any, timeout_s: float | None = None
    ) -> list[Any]:
        return await self.send(message(member, signature, *arguments, interface=interface), timeout_s)

    async def complete(self, task_type: str, prompt: str | list[Json], **options: Any) -> Reply:
        """CompleteWithOptions. Options (and messages) in Python's types, see `variant`."""
        arguments = (task_type, messages(prompt), dictionary(options))
        return Reply(*await self.call(NAME, "CompleteWithOptions", "saa{sv}a{sv}", *arguments))

    async def route(self, task_type: str, prompt: str | list[Json], **options: Any) -> Json:
        [decision] = await self.call(NAME, "Route", "saa{sv}a{sv}", task_type, messages(prompt), dictionary(options))
        assert isinstance(decision, dict)
        return decision

    async def stats(self) -> Json:
        """This user's counters, without how the service is at the moment."""
        [stats] = await self.call(USAGE, "GetStats")
        assert isinstance(stats, dict)
        assert set(stats.pop("service")) == {"uptime_s", "queued_requests", "ledger_writable"}
        return stats

    async def subscribe(self, **wanted: str) -> tuple[int, Json]:
        number, snapshot = await self.call(USAGE, "Subscribe", "a{sv}", dictionary(wanted))
        return number, snapshot

    async def providers(self) -> dict[str, Json]:
        [rows] = await self.call(MANAGER, "ListProviders")
        return {row["name"]: row for row in rows}

    async def property(self, name: str) -> Any:
        [value] = await self.call(PROPERTIES, "Get", "ss", NAME, name)
        return value

    async def hear_broadcasts(self) -> None:
        await self.connection.add_match(f"type='signal',sender='{NAME}'")

    def heard(self, member: str) -> list[list[Any]]:
        return [signal.body for signal in self.signals if signal.member == member]

    async def await_heard(self, member: str, count: int = 1, timeout: float = 10) -> list[list[Any]]:
        """At least `count` such signals."""
        await assert_eventually_async(
            lambda: len(self.heard(member)) >= count, timeout, f"{count} times {member}, heard {self.signals}"
        )
        return self.heard(member)

    def _hear(self, message: Message) -> None:
        if message.path == PATH:
            body = [plain(value) for value in message.body]
            self.signals.append(Signal(message.member, body, message.destination))


@contextmanager
def refused(*names: str) -> Iterator[list[str]]:
    """The block ends in one of these errors, ours or with its full name; the list then holds its text."""
    text: list[str] = []
    with pytest.raises(BusError) as caught:
        yield text
    found = {caught.value.name, caught.value.name.removeprefix(f"{ERROR}.")}
    assert found & set(names), f"{caught.value.name}: {caught.value.text}"
    text.append(caught.value.text)


@pytest.fixture(name="program")
async def program_fixture(namespace: object) -> AsyncIterator[Program]:
    program = await Program.open()
    yield program
    await program.close()


def assert_reveals_nothing(text: str) -> None:
    """No reply carries a traceback, a path into the sources or a key."""
    assert "Traceback" not in text
    assert 'File "' not in text
    assert not [key for key in SIMULATED_KEYS.values() if key in text]


def message(
    member: str,
    signature: str = "",
    *body: Any,
    interface: str | None = NAME,
    path: str = PATH,
    quiet: bool = False,
    fds: Sequence[int] = (),
) -> Message:
    """A call on the service; a quiet one wants no reply."""
    flags = MessageFlag.NO_REPLY_EXPECTED if quiet else MessageFlag.NONE
    return Message(
        destination=NAME, path=path, interface=interface, member=member, signature=signature, body=list(body),
        flags=flags, unix_fds=list(fds),
    )  # fmt: skip


def plain(value: Any) -> Any:
    """A D-Bus value without its variants."""
    if isinstance(value, Variant):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def messages(prompt: str | list[Json]) -> list[dict[str, Variant]]:
    rows = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return [dictionary(row) for row in rows]


def dictionary(values: Mapping[str, Any]) -> dict[str, Variant]:
    """As a{sv}."""
    return {key: variant(value) for key, value in values.items()}


def variant(value: Any) -> Variant:
    """s, b, i, d, ay, aa{sv} (a list of dictionaries) or a{ss} (a dictionary of text); a Variant stays."""
    if isinstance(value, Variant):
        return value
    if isinstance(value, list):
        return Variant("aa{sv}", [dictionary(row) for row in value])
    signature = {str: "s", bool: "b", int: "i", float: "d", bytes: "ay", dict: "a{ss}"}[type(value)]
    return Variant(signature, value)
