"""What the machine says about an absent router, through a stand-in for systemd on the bus, and the applet's words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dbus_next import Message, MessageType, Variant

from cortexd.connection import Connection
from tests.desktop.applet import applet, eventually
from tests.desktop.conftest import Router

SYSTEMD = "org.freedesktop.systemd1"
UNIT_PATH = "/org/freedesktop/systemd1/unit/cortex_2dllm_2drouter_2eservice"


class Systemd:
    """Answers for the unit as systemd does; `now` is what systemctl would show, and telling of a change is `tell`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.now: dict[str, Any] = {
            "LoadState": "loaded",
            "ActiveState": "inactive",
            "SubState": "dead",
            "NRestarts": 0,
        }
        connection.on_call = self._answer

    def tell(self, **now: Any) -> None:
        self.now |= now
        body = [f"{SYSTEMD}.Unit", {}, ["ActiveState", "SubState"]]
        signature = "sa{sv}as"
        self._connection.send(
            Message.new_signal(UNIT_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", signature, body)
        )

    def reload(self, **now: Any) -> None:
        """As after `systemctl mask`."""
        self.now |= now
        manager = ("/org/freedesktop/systemd1", f"{SYSTEMD}.Manager", "Reloading", "b")
        for active in (True, False):
            self._connection.send(Message.new_signal(*manager, [active]))

    def _answer(self, call: Message) -> None:
        if call.message_type is not MessageType.METHOD_CALL:
            return
        replies: dict[str, tuple[str, list[Any]]] = {
            "Subscribe": ("", []),
            "Unsubscribe": ("", []),
            "LoadUnit": ("o", [UNIT_PATH]),
            "GetAll": ("a{sv}", [self._values(call.body[0]) if call.member == "GetAll" else {}]),
        }
        self._connection.send(Message.new_method_return(call, *replies[call.member]))

    def _values(self, interface: str) -> dict[str, Variant]:
        of_service = interface.endswith("Service")
        return {
            name: Variant("u" if name == "NRestarts" else "s", value)
            for name, value in self.now.items()
            if (name == "NRestarts") is of_service
        }


@pytest.fixture(name="systemd")
async def systemd_fixture(router: Router) -> AsyncIterator[Systemd]:
    async with await Connection.open(router.address) as connection:
        systemd = Systemd(connection)
        await connection.request_name(SYSTEMD)
        yield systemd


class TestAbsence:
    async def test_each_with_its_next_step(
        self, installed: Path, session: str, router: Router, systemd: Systemd
    ) -> None:
        """Stopped, failing again and again, failed, masked: each is told as it happens, and the router's return."""
        async with applet(installed, session, router.address) as shown:
            await shown.await_state("ok")
            router.served.stop()
            await told(shown.labels, "cortexd does not run now.")
            systemd.tell(ActiveState="activating", SubState="auto-restart", NRestarts=2)
            await told(shown.labels, "cortexd fails and is started again and again.")
            systemd.tell(ActiveState="failed", SubState="failed")
            await told(shown.labels, "cortexd failed and does not run.")
            systemd.reload(LoadState="masked", ActiveState="inactive")
            await told(shown.labels, "An administrator has switched cortexd off.")
            await shown.await_state("error")
            systemd.reload(LoadState="loaded")
            await shown.await_state("stale")
            router.served.start()
            await shown.await_state("ok")

    async def test_not_installed(self, installed: Path, session: str) -> None:
        """Where neither bus nor systemd know the service, the package is missing."""
        async with applet(installed, session, session) as shown:
            await told(shown.labels, "cortexd is not installed.")
            await shown.await_entry("Install the package cortexd.")
            assert await shown.label() == "—"


async def told(labels: Any, text: str) -> None:
    await eventually(labels, lambda found: text in found, text)
