"""What a screen reader finds on a bus of AT-SPI: the objects of a program, and what they can be told to do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from dbus_next import Message

from cortexd.connection import BusError, Connection
from tests.system.program import plain

REGISTRY = "org.a11y.atspi.Registry"
ROOT = "/org/a11y/atspi/accessible/root"
_ACCESSIBLE, _ACTION = "org.a11y.atspi.Accessible", "org.a11y.atspi.Action"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_VISIBLE = 30  # a bit of the state
_DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Spoken:
    """An object that is visible: what is said of it."""

    owner: str
    path: str
    name: str


class Reader:
    """Reads all programs that are registered on the bus of `connection`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def all(self) -> list[Spoken]:
        """In no order that means anything; what goes away meanwhile is left out."""
        found: list[Spoken] = []
        level = [tuple(child) for child in await self._children(REGISTRY, ROOT)]
        while level:
            read = await asyncio.gather(*(self._read(owner, path) for owner, path in level))
            found += [spoken for spoken, _children in read if spoken]
            level = [tuple(child) for _spoken, children in read for child in children]
        return found

    async def registered(self) -> bool:
        """Whether the registry is there, so that a program that starts now finds it."""
        try:
            await self._children(REGISTRY, ROOT)
        except BusError:
            return False
        return True

    async def names(self) -> set[str]:
        return {spoken.name for spoken in await self.all()}

    async def press(self, name: str) -> None:
        """The button or switch that is called so; there has to be one. libadwaita 1.2 says a toast's twice."""
        named = [spoken for spoken in await self.all() if spoken.name in (name, f"{name} {name}")]
        roles = [(await self._call(found.owner, found.path, _ACCESSIBLE, "GetRoleName"))[0] for found in named]
        [button] = [found for found, role in zip(named, roles, strict=True) if role.endswith(("button", "switch"))]
        await self._call(button.owner, button.path, _ACTION, "DoAction", "i", 0)

    async def _read(self, owner: str, path: str) -> tuple[Spoken | None, list[Any]]:
        try:
            [state] = await self._call(owner, path, _ACCESSIBLE, "GetState")
            if path != ROOT and not state[0] & 1 << _VISIBLE:
                return None, []
            [name] = await self._call(owner, path, _PROPERTIES, "Get", "ss", _ACCESSIBLE, "Name")
            children = await self._children(owner, path)
        except BusError:
            return None, []
        return Spoken(owner, path, name), children

    async def _children(self, owner: str, path: str) -> list[Any]:
        [children] = await self._call(owner, path, _ACCESSIBLE, "GetChildren")
        return list(children)

    async def _call(self, owner: str, path: str, interface: str, member: str, signature: str = "", *body: Any) -> Any:
        message = Message(
            destination=owner, path=path, interface=interface, member=member, signature=signature, body=list(body)
        )
        return [plain(value) for value in (await self._connection.call(message, timeout_s=_DEADLINE_S)).body]
