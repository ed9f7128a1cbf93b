"""Calls on the daemon from the tests' own process, which is root on the namespace's bus, and a look at its process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from dbus_next import Message, MessageFlag, Variant

from cortexd import wire
from cortexd.connection import BusError, Connection, system_address
from cortexd.demo.simulated import ControlClient
from tests.system.daemon import SIMULATED_KEYS, Daemon

TIMEOUT_S = 60.0
PROPERTIES = "org.freedesktop.DBus.Properties"
INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
PEER = "org.freedesktop.DBus.Peer"
OURS = f"{wire.BUS_NAME}.Error."
STANDARD = "org.freedesktop.DBus.Error."
TURNS = wire.dictionaries([{"role": "user", "content": "hello"}])


async def join_bus(address: str | None = None) -> Connection:
    return await Connection.open(address or system_address())


def message(
    member: str,
    signature: str = "",
    *body: Any,
    interface: str | None = wire.INTERFACE,
    path: str = wire.OBJECT_PATH,
    quiet: bool = False,
    fds: Sequence[int] = (),
) -> Message:
    return Message(
        destination=wire.BUS_NAME,
        path=path,
        interface=interface,
        member=member,
        signature=signature,
        body=list(body),
        flags=MessageFlag.NO_REPLY_EXPECTED if quiet else MessageFlag.NONE,
        unix_fds=list(fds),
    )


def completion(prompt: str, task_type: str = "user_chat", **options: Any) -> Message:
    turns = wire.dictionaries([{"role": "user", "content": prompt}])
    return message("CompleteWithOptions", "saa{sv}a{sv}", task_type, turns, wire.dictionary(options))


async def send(connection: Connection, call: Message, timeout_s: float = TIMEOUT_S) -> list[Any]:
    """What the daemon answers, variants unwrapped. Raises BusError, whose text is checked to give nothing away."""
    try:
        return [wire.decode(value) for value in (await connection.call(call, timeout_s=timeout_s)).body]
    except BusError as error:
        assert_reveals_nothing(error.text)
        raise


async def complete(connection: Connection, prompt: str, task_type: str = "user_chat", **options: Any) -> dict[str, Any]:
    """An answer's metadata, with its text under "content"."""
    content, metadata = await send(connection, completion(prompt, task_type, **options))
    return {**metadata, "content": content}


async def read(connection: Connection, name: str) -> Any:
    """A property of the main interface."""
    [value] = await send(connection, message("Get", "ss", wire.INTERFACE, name, interface=PROPERTIES))
    return value


async def refusal(answer: Awaitable[Any]) -> BusError:
    """The error that answers a call."""
    with pytest.raises(BusError) as refused:
        await answer
    return refused.value


def option(signature: str, value: Any) -> dict[str, Variant]:
    return {"option": Variant(signature, value)}


def assert_reveals_nothing(text: str) -> None:
    """No reply carries a traceback, a path into the sources or a key."""
    assert "Traceback" not in text
    assert 'File "' not in text
    assert not [key for key in SIMULATED_KEYS.values() if key in text]


def open_files(pid: int) -> list[str]:
    """What each file descriptor of a process points to."""
    targets = []
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            targets.append(os.readlink(entry.path))
    return targets


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def tcp_sockets(pid: int) -> set[str]:
    """Those of `open_files` that are connections to providers, which are kept open for a while."""
    lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
    return {f"socket:[{line.split()[9]}]" for line in lines}


def own_files(pid: int) -> int:
    """How many descriptors a process holds beside its connections to providers."""
    connections = tcp_sockets(pid)
    return sum(target not in connections for target in open_files(pid))


@contextmanager
def shared_daemon(directory: Path, simulated: ControlClient, config: str = "") -> Iterator[Daemon]:
    """A daemon for all tests of a module, warmed up. At the end it has to leave with status 0 and a clean log."""
    base = "".join(f'[providers.{name}]\nbase_url = "{simulated.url(name)}"\n' for name in SIMULATED_KEYS)
    daemon = Daemon(directory, base, config)
    daemon.start()
    try:
        asyncio.run(_warm_up())
        yield daemon
        assert daemon.stop() == 0
    finally:
        if daemon.running:
            daemon.kill()
    daemon.assert_clean_log()
    assert "was destroyed but it is pending" not in daemon.log()


async def _warm_up() -> None:
    async with await join_bus() as connection:
        answers = [complete(connection, "hello", task_type) for task_type in ("user_chat", "code_generation")]
        readings = [send(connection, message("GetStats", interface=wire.USAGE_INTERFACE)) for _ in range(8)]
        await asyncio.gather(*answers, *readings)
