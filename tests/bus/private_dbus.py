"""A dbus-daemon of the test's own, a service on it, and a look that nothing is left open."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sized
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict, Unpack

import pytest
from dbus_next import Message, MessageFlag

from cortexd.connection import Connection
from tests.eventually import assert_eventually, assert_eventually_async

NAME = "org.example.Service"
PATH = "/org/example/Service"
DEADLINE_S = 30

_CONFIG = """<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <servicedir>{services}</servicedir>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
{limits}</busconfig>
"""
# The system bus's limits, but for pending replies and descriptors, where a test needs more than it grants.
_LIMITS = {
    "max_incoming_bytes": 133169152,
    "max_outgoing_bytes": 133169152,
    "max_message_size": 33554432,
    "max_message_unix_fds": 253,
    "max_incoming_unix_fds": 1024,
    "max_outgoing_unix_fds": 1024,
    "max_replies_per_connection": 2000,
}


def dbus_daemon(directory: Path, limits: Mapping[str, int]) -> tuple[list[str], Path]:
    """The command that runs a bus for any user, configured in `directory`, and the socket it listens on.

    It may start what has a file in `directory`/services.
    """
    config, path, services = directory / "bus.conf", directory / "bus", directory / "services"
    rows = "".join(f'  <limit name="{name}">{limit}</limit>\n' for name, limit in limits.items())
    config.write_text(_CONFIG.format(socket=path, services=services, limits=rows))
    return ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile"], path


class PrivateBus:
    """A dbus-daemon. `pause()` makes it deaf, so that sockets fill up; after `kill()` it may be started again."""

    process: subprocess.Popen[bytes]

    def __init__(self, directory: Path, limits: Mapping[str, int]) -> None:
        self._argv, self._socket = dbus_daemon(directory, limits)
        self.address = f"unix:path={self._socket}"

    def start(self) -> None:
        """Returns once it listens."""
        self._socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(self._argv)
        assert_eventually(self._accepts, DEADLINE_S, "dbus-daemon to listen")

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.connect_ex(str(self._socket)) == 0


@contextmanager
def private_bus(**limits: int) -> Iterator[PrivateBus]:
    """`limits` in place of the system bus's."""
    with TemporaryDirectory(prefix="bus-") as directory:
        bus = PrivateBus(Path(directory), {**_LIMITS, **limits})
        try:
            bus.start()
            yield bus
        finally:
            bus.kill()


@pytest.fixture(name="bus")
def bus_fixture() -> Iterator[PrivateBus]:
    with private_bus() as bus:
        yield bus


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(name="no_leaks", autouse=True)
async def no_leaks_fixture() -> AsyncIterator[None]:
    """No file descriptor and no task may outlive the test."""
    fds, tasks = open_fds(), len(asyncio.all_tasks())
    yield
    await assert_eventually_async(
        lambda: open_fds() <= fds, message=f"back to {fds} file descriptors, now {open_fds()}"
    )
    await assert_eventually_async(
        lambda: len(asyncio.all_tasks()) <= tasks, message=f"back to {tasks} tasks, now {asyncio.all_tasks()}"
    )


async def assert_count(seen: Sized, count: int, what: str) -> None:
    """Of `what`, so many have come, or will."""
    await assert_eventually_async(lambda: len(seen) == count, message=what)


def call_message(
    member: str = "Echo", signature: str = "", *args: object, to: str = NAME, quiet: bool = False
) -> Message:
    flags = MessageFlag.NO_REPLY_EXPECTED if quiet else MessageFlag.NONE
    return Message(
        destination=to, path=PATH, interface=NAME, member=member, signature=signature, body=list(args), flags=flags
    )


class Bounds(TypedDict, total=False):
    """As Connection.open takes them."""

    max_outgoing_bytes: int
    max_values: int
    stall_s: float


@asynccontextmanager
async def service(
    bus: PrivateBus, handle: Callable[[Connection, Message], None], **options: Unpack[Bounds]
) -> AsyncIterator[Connection]:
    """A connection that owns NAME and gives each call to `handle`."""
    async with await Connection.open(bus.address, **options) as connection:
        connection.on_call = lambda message: handle(connection, message)
        await connection.request_name(NAME)
        yield connection


def echo(connection: Connection, message: Message) -> None:
    connection.send(Message.new_method_return(message, message.signature, message.body))
