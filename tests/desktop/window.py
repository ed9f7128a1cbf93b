"""The window as it is installed, as a process on a screen, and what a screen reader finds in it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from dbus_next import Message, MessageFlag

from cortexd.connection import Connection
from tests.bus.private_dbus import private_bus
from tests.desktop.accessible import Reader
from tests.desktop.applet import DEADLINE_S, eventually
from tests.desktop.programs import running
from tests.desktop.screen import Screen

APPLICATION = "org.cortexlinux.LLMWindow"
REGISTRY_DAEMON = "/usr/libexec/at-spi2-registryd"


@dataclass(frozen=True, slots=True)
class Window:
    process: subprocess.Popen[bytes]
    reader: Reader
    environment: dict[str, str]

    async def second(self, program: Path, *options: str) -> None:
        """Start it again in the same session; it leaves at once, its wish being known."""
        process = await asyncio.create_subprocess_exec(str(program), *options, env=self.environment)
        assert await process.wait() == 0

    async def await_texts(self, *texts: str) -> set[str]:
        """Until all of them are there; the names of everything then."""
        wanted = set(texts)
        return await eventually(self.reader.names, lambda names: wanted <= names, f"the texts {sorted(wanted)}")

    async def await_no_text(self, text: str) -> set[str]:
        return await eventually(self.reader.names, lambda names: text not in names, f"no text {text}")


@dataclass(frozen=True, slots=True)
class Session:
    """`environment`: of programs in it. One bus is both the session's and that of screen readers."""

    environment: dict[str, str]
    connection: Connection
    reader: Reader

    async def quit_window(self) -> None:
        """By the window's own action, from outside."""
        await self.connection.call(
            Message(
                destination=APPLICATION, path="/" + APPLICATION.replace(".", "/"),
                interface="org.freedesktop.Application", member="ActivateAction", signature="sava{sv}",
                body=["quit", [], {}], flags=MessageFlag.NO_AUTOSTART,
            ),
            timeout_s=DEADLINE_S,
        )  # fmt: skip


@asynccontextmanager
async def session_with_reader(home: Path, screen: Screen) -> AsyncIterator[Session]:
    with private_bus() as bus:
        variables = _environment(home, screen, bus.address)
        async with await Connection.open(bus.address) as connection:
            reader = Reader(connection)
            with running([REGISTRY_DAEMON], variables, home / "registry.log"):
                await eventually(reader.registered, bool, "the registry of screen readers")
                yield Session(variables, connection, reader)


@asynccontextmanager
async def window(
    argv: Sequence[str], home: Path, screen: Screen, environment: dict[str, str] | None = None
) -> AsyncIterator[Window]:
    """Runs `argv` in a session of its own until the block ends; it has to leave then, and complain of nothing."""
    async with session_with_reader(home, screen) as session:
        variables = {**session.environment, **(environment or {})}
        log = home / f"window-{time.monotonic_ns()}.log"
        with running([*argv], variables, log) as process:
            yield Window(process, session.reader, variables)
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE_S)
        assert log.read_text() == ""


def _environment(home: Path, screen: Screen, session: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "DISPLAY": screen.display,
        "DBUS_SESSION_BUS_ADDRESS": session,
        "AT_SPI_BUS_ADDRESS": session,
        "GDK_BACKEND": "x11",
        "GSK_RENDERER": "cairo",
        "GSETTINGS_BACKEND": "memory",
        "LC_ALL": "C.UTF-8",
    }
