"""What a connection asks of the bus itself: names, and which signals to send it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

from dbus_next import Message, NameFlag, RequestNameReply

from cortexd.connection.calls import BUS_NAME
from cortexd.connection.errors import BusError, BusTimeout, NameTaken
from cortexd.connection.making import method_call

_PING_S = 1.0


class BusMethods(ABC):
    """Of org.freedesktop.DBus, over `call`. All raise what `call` raises."""

    @abstractmethod
    async def call(self, message: Message, *, timeout_s: float | None, take_fds: bool = False) -> Message:
        """Send a method call, return its METHOD_RETURN."""

    async def call_bus(self, member: str, signature: str = "", *args: Any, timeout_s: float = 10) -> list[Any]:
        """Call a method of org.freedesktop.DBus itself; return its results."""
        message = method_call(BUS_NAME, "/org/freedesktop/DBus", BUS_NAME, member, signature, list(args))
        reply = await self.call(message, timeout_s=timeout_s)
        results: list[Any] = reply.body
        return results

    async def request_name(self, name: str, *, timeout_s: float = 10) -> None:
        """Own `name` now, or raise NameTaken; never queue for it."""
        if not await self._owns(name, timeout_s):
            await self._wake_owner(name)
            if not await self._owns(name, timeout_s):
                raise NameTaken(f"{name} belongs to another connection")

    async def _owns(self, name: str, timeout_s: float) -> bool:
        flags = NameFlag.DO_NOT_QUEUE.value
        [answer] = await self.call_bus("RequestName", "su", name, flags, timeout_s=timeout_s)
        return answer in (RequestNameReply.PRIMARY_OWNER.value, RequestNameReply.ALREADY_OWNER.value)

    async def _wake_owner(self, name: str) -> None:
        """A bus that has stopped reading a connection does not see it end before it next writes to it."""
        ping = Message(destination=name, path="/", interface="org.freedesktop.DBus.Peer", member="Ping")
        with suppress(BusError, BusTimeout):
            await self.call(ping, timeout_s=_PING_S)

    async def release_name(self, name: str, *, timeout_s: float = 10) -> None:
        await self.call_bus("ReleaseName", "s", name, timeout_s=timeout_s)

    async def activatable(self, name: str, *, timeout_s: float = 10) -> bool:
        """Whether the bus starts the owner of `name` when somebody calls it."""
        [names] = await self.call_bus("ListActivatableNames", timeout_s=timeout_s)
        return name in names

    async def add_match(self, rule: str, *, timeout_s: float = 10) -> None:
        await self.call_bus("AddMatch", "s", rule, timeout_s=timeout_s)

    async def remove_match(self, rule: str, *, timeout_s: float = 10) -> None:
        await self.call_bus("RemoveMatch", "s", rule, timeout_s=timeout_s)
