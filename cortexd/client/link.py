"""The client's way to the service: one bus connection, opened when needed and again after it was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from dbus_next import Message, MessageFlag

from cortexd import wire
from cortexd.connection import (
    BusError,
    BusException,
    BusTimeout,
    Connection,
    ConnectionLost,
    MessageTooLarge,
    Unsendable,
    session_address,
    system_address,
)
from cortexd.errors import CortexError, Internal, InvalidArgument, RateLimited, ServiceUnavailable, Timeout, TooLarge

DEFAULT_TIMEOUT_S = 600.0
CONNECT_TIMEOUT_S = 10.0
_CALLS_IN_FLIGHT = 100  # the bus itself refuses the 129th of one connection
_STANDARD = "org.freedesktop.DBus.Error."
_ABSENT = frozenset({f"{_STANDARD}ServiceUnknown", f"{_STANDARD}NameHasNoOwner"})
_ENDED = frozenset({f"{_STANDARD}NoReply", f"{_STANDARD}Disconnected"})
_NOT_STARTED = (f"{_STANDARD}Spawn.", f"{_STANDARD}TimedOut")
_BUSES = {"system": system_address, "session": session_address}


class Link:
    """Calls the service on `bus`: "system", "session" or a D-Bus address. Lives on one event loop."""

    def __init__(self, bus: str, on_signal: Callable[[Message], None] | None = None) -> None:
        self._bus = bus
        self._on_signal = on_signal
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._slots = asyncio.Semaphore(_CALLS_IN_FLIGHT)
        self._closed = False

    @property
    def unique_name(self) -> str:
        """Our name on the bus, such as :1.42; empty while there is no connection."""
        return self._connection.unique_name if self._connection and not self._connection.closed else ""

    @property
    def bus_in_words(self) -> str:
        return f"the {self._bus} bus" if self._bus in _BUSES else f"the bus at {self._bus}"

    def refuse_if_closed(self) -> None:
        """Raises RuntimeError after close()."""
        if self._closed:
            raise RuntimeError("this client is closed")

    async def connection(self) -> Connection:
        """The live connection, opened anew where there is none. Raises ServiceUnavailable."""
        async with self._opening:
            self.refuse_if_closed()
            if self._connection is None or self._connection.closed:
                try:
                    address = _BUSES[self._bus]() if self._bus in _BUSES else self._bus
                    self._connection = await Connection.open(
                        address, on_signal=self._on_signal, timeout_s=CONNECT_TIMEOUT_S, fds=False
                    )
                except BusException as error:
                    raise ServiceUnavailable(f"cannot reach {self.bus_in_words}: {error}") from None
            return self._connection

    async def call(
        self,
        interface: str,
        member: str,
        signature: str = "",
        body: list[Any] | None = None,
        *,
        timeout_s: float,
        flags: MessageFlag = MessageFlag.NONE,
    ) -> list[Any]:
        """The reply's body, variants unwrapped. Raises one of cortexd.errors."""
        message = Message(
            destination=wire.BUS_NAME,
            path=wire.OBJECT_PATH,
            interface=interface,
            member=member,
            signature=signature,
            body=body or [],
            flags=flags,
        )
        try:
            async with asyncio.timeout(timeout_s), self._slots:
                connection = await self.connection()
                reply = await connection.call(message, timeout_s=timeout_s)
        except (TimeoutError, BusTimeout):
            raise Timeout(f"no answer from cortexd within {timeout_s:g} s") from None
        except BusException as error:
            raise self._explained(error) from None
        return [wire.decode(value) for value in reply.body]

    async def close(self) -> None:
        self._closed = True
        await self.disconnect()

    async def disconnect(self) -> None:
        """Leave the bus; the next call comes back."""
        if self._connection is not None:
            await self._connection.close()

    def _explained(self, error: BusException) -> CortexError:
        """What went wrong, in the caller's words and not in the bus's."""
        if isinstance(error, BusError):
            return self._from_reply(error)
        if isinstance(error, ConnectionLost):
            return ServiceUnavailable(f"the connection to {self.bus_in_words} ended before an answer came: {error}")
        if isinstance(error, MessageTooLarge):
            return TooLarge(str(error))
        if isinstance(error, Unsendable):
            return InvalidArgument(str(error))
        return Internal(f"the answer cannot be read: {error}")

    def _from_reply(self, error: BusError) -> CortexError:
        if error.name in _ABSENT:
            return ServiceUnavailable(f"cortexd is not running on {self.bus_in_words}; start it with {self._start()}")
        if error.name.startswith(_NOT_STARTED):
            return ServiceUnavailable(f"cortexd could not be started on {self.bus_in_words}: {error.text}")
        if error.name in _ENDED:
            return ServiceUnavailable("cortexd left the bus before it answered")
        if error.name == f"{_STANDARD}LimitsExceeded":
            return RateLimited(
                f"{self.bus_in_words} takes no more calls of this connection for now", retry_after_ms=1000
            )
        return wire.error_from(error.name, error.text)

    def _start(self) -> str:
        return "systemctl start cortexd" if self._bus == "system" else f"cortexd --bus {self._bus}"
