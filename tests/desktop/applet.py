"""The applet as it is installed, as a process, and a panel's view of it: properties, menu and signals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dbus_next import Message, MessageFlag, Variant

from cortexd.connection import BusError, Connection
from tests.system.program import plain
from tests.system.terminal import switch_user

ITEM = "org.kde.StatusNotifierItem"
ITEM_PATH = "/StatusNotifierItem"
MENU = "com.canonical.dbusmenu"
MENU_PATH = "/MenuBar"
PROPERTIES = "org.freedesktop.DBus.Properties"
DEADLINE_S = 20.0
# on each, a panel reads the item or its menu again and draws
REDRAWS = (
    "NewToolTip",
    "NewIcon",
    "XAyatanaNewLabel",
    "NewTitle",
    "NewStatus",
    "ItemsPropertiesUpdated",
    "LayoutUpdated",
)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Heard:
    at: float
    member: str
    body: list[Any]


@dataclass(slots=True)
class Applet:
    """`heard`: every signal of its item and menu since it was opened, with the monotonic time of its coming."""

    process: subprocess.Popen[bytes]
    connection: Connection
    heard: list[Heard] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{ITEM}-{self.process.pid}-1"

    async def properties(self) -> dict[str, Any]:
        [values] = await self._call(ITEM_PATH, PROPERTIES, "GetAll", "s", ITEM)
        return dict(values)

    async def menu(self) -> dict[int, dict[str, Any]]:
        """The visible entries: id -> properties."""
        _revision, (_root, _properties, children) = await self._call(
            MENU_PATH, MENU, "GetLayout", "iias", 0, -1, ["label", "enabled", "visible", "type"]
        )
        return {id: values for id, values, _ in children if values["visible"]}

    async def labels(self) -> list[str]:
        """What a person reads in the menu; doubled underscores are single ones on the screen."""
        return [entry["label"].replace("__", "_") for entry in (await self.menu()).values() if entry["label"]]

    async def show_menu(self) -> None:
        """As a panel does before it draws the menu, and as it says that it is open."""
        await self._call(MENU_PATH, MENU, "AboutToShow", "i", 0)
        await self.event(0, "opened")

    async def event(self, id: int, kind: str) -> None:
        await self._call(MENU_PATH, MENU, "Event", "isvu", id, kind, Variant("i", 0), 0)

    async def click(self, label: str) -> None:
        [id] = [id for id, entry in (await self.menu()).items() if entry["label"].replace("__", "_") == label]
        await self.event(id, "clicked")

    async def state(self) -> str:
        return str((await self.properties())["IconName"]).removeprefix("cortex-llm-")

    async def label(self) -> str:
        return str((await self.properties())["XAyatanaLabel"])

    async def await_state(self, state: str) -> None:
        await eventually(self.state, lambda found: found == state, f"the state {state}")

    async def await_entry(self, text: str) -> None:
        """In the menu, which is drawn apart from the icon."""
        await eventually(self.labels, lambda labels: text in labels, f"{text!r} in the menu")

    async def await_label(self, label: str) -> None:
        await eventually(self.label, lambda found: found == label, f"the label {label}")

    def redraws(self) -> list[Heard]:
        return [heard for heard in self.heard if heard.member in REDRAWS]

    def pss_mb(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024

    def wakes(self) -> int:
        """How often one of its threads has been put on a processor."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/status")
        lines = [line for task in tasks for line in task.read_text().splitlines() if "ctxt_switches" in line]
        return sum(int(line.split()[1]) for line in lines)

    async def _call(self, path: str, interface: str, member: str, signature: str, *body: Any) -> list[Any]:
        return await self.call_on(self.name, path, interface, member, signature, *body)

    async def call_on(
        self, destination: str, path: str, interface: str, member: str, signature: str, *body: Any
    ) -> list[Any]:
        """A call on the session bus, which starts nobody."""
        message = Message(
            destination=destination, path=path, interface=interface, member=member, signature=signature,
            body=list(body), flags=MessageFlag.NO_AUTOSTART,
        )  # fmt: skip
        return [plain(value) for value in (await self.connection.call(message, timeout_s=DEADLINE_S)).body]

    def _hear(self, message: Message) -> None:
        if message.interface in (ITEM, MENU):
            body = [plain(value) for value in message.body]
            self.heard.append(Heard(time.monotonic(), message.member, body))


async def eventually(ask: Callable[[], Awaitable[T]], right: Callable[[T], bool], what: str) -> T:
    """The first answer that is right; an AssertionError with the last one after the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found = await ask()
        if right(found):
            return found
        assert time.monotonic() < deadline, f"not in time: {what}; last {found!r}"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def applet(
    program: Path, session: str, router: str, environment: dict[str, str] | None = None, user: str = "root"
) -> AsyncIterator[Applet]:
    """Runs `program` until the block ends; it has to leave with status 0 on SIGTERM, having complained of nothing.

    As another user than root only inside script/private-bus.
    """
    log = program.parents[2] / f"applet-{time.monotonic_ns()}.log"
    command = [str(program), "--bus", router]
    variables = {"DBUS_SESSION_BUS_ADDRESS": session, "LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command if user == "root" else switch_user(user, command),
            env={**variables, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    async with await Connection.open(session) as connection:
        made = Applet(process, connection)
        connection.on_signal = made._hear
        try:
            await connection.add_match(f"type='signal',path='{ITEM_PATH}'")
            await connection.add_match(f"type='signal',path='{MENU_PATH}'")
            await eventually(lambda: _owned(connection, made.name), bool, f"{made.name} on the bus")
            yield made
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            status = process.wait(DEADLINE_S)
    assert (status, log.read_text()) == (0, "")


async def _owned(connection: Connection, name: str) -> bool:
    try:
        await connection.call_bus("GetNameOwner", "s", name)
    except BusError:
        return False
    return True
