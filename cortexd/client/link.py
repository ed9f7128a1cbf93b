"""The client's way to the service: one bus connection, opened when needed and again after it was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cortexd.connection import (
    BusError,
    BusException,
    Connection,
    ConnectionLost,
    DescriptorMissing,
    Message,
    MessageFlag,
    MessageTooLarge,
    Unsendable,
    close_fds,
    method_call,
    session_address,
    system_address,
    take_fd,
    wire,
)
from cortexd.errors import CortexError, Internal, InvalidArgument, RateLimited, ServiceUnavailable, Timeout, TooLarge

DEFAULT_TIMEOUT_S = 600.0
CONNECT_TIMEOUT_S = 10.0
_CALLS_IN_FLIGHT = 100  # the bus itself refuses the 129th of one connection
_MOST_LEAVING = 4
_MAX_VALUES = 1_000_000  # 10,000 rows of GetUsage, or the answers of 1,000 requests, hold several 100,000
_STANDARD = "org.freedesktop.DBus.Error."
_ABSENT = frozenset({f"{_STANDARD}ServiceUnknown", f"{_STANDARD}NameHasNoOwner"})
# of an object of ours that we always have, and the standard's own methods on it
_FOREIGN = frozenset({f"{_STANDARD}UnknownObject", f"{_STANDARD}UnknownInterface"})
_PROPERTIES = "org.freedesktop.DBus.Properties"
_UNKNOWN_METHOD = f"{_STANDARD}UnknownMethod"
# the detail `cause` of a service that nobody could start, and of one that lacks what this client asks for
ABSENT, OLDER = "absent", "older"
_ENDED = frozenset({f"{_STANDARD}NoReply", f"{_STANDARD}Disconnected"})
_NOT_STARTED = (f"{_STANDARD}Spawn.", f"{_STANDARD}TimedOut", "org.freedesktop.systemd1.")  # the last: masked
_BUSES = {"system": system_address, "session": session_address}


@dataclass(eq=False, slots=True)
class _Line:
    """A connection and the calls that wait for an answer on it. `abandoned`: the service works for a caller of it
    who has stopped waiting, and sees that only when the connection ends."""

    connection: Connection
    calls: int = 0
    abandoned: bool = False


class Link:
    """Calls the service on `bus`: "system", "session" or a D-Bus address. Lives on one event loop.

    A request without an id of the caller's choosing ends when its connection does. So a connection on which somebody
    stopped waiting for one is left: at once where no other call waits on it, else after the last of them, while new
    calls go over a new one. Past four such connections the request runs on until one of them has ended.
    """

    def __init__(self, bus: str, on_signal: Callable[[Message], None] | None = None) -> None:
        self._bus = bus
        self._on_signal = on_signal
        self._line: _Line | None = None
        self._leaving: set[_Line] = set()
        self._opening = asyncio.Lock()
        self._slots = asyncio.Semaphore(_CALLS_IN_FLIGHT)
        self._closed = False

    @property
    def unique_name(self) -> str:
        """Our name on the bus, such as :1.42; empty while there is no connection."""
        return self._line.connection.unique_name if self._line and not self._line.connection.closed else ""

    @property
    def bus_in_words(self) -> str:
        return f"the {self._bus} bus" if self._bus in _BUSES else f"the bus at {self._bus}"

    def refuse_if_closed(self) -> None:
        """Raises RuntimeError after close()."""
        if self._closed:
            raise RuntimeError("this client is closed")

    async def connection(self) -> Connection:
        """The live connection, opened anew where there is none. Raises ServiceUnavailable."""
        return (await self._open_line()).connection

    async def call(
        self,
        interface: str,
        member: str,
        signature: str = "",
        body: list[Any] | None = None,
        *,
        timeout_s: float,
        flags: MessageFlag = MessageFlag.NONE,
        ends_with_caller: bool = False,
    ) -> list[Any]:
        """The reply's body, variants unwrapped. Raises one of cortexd.errors.

        `ends_with_caller`: what was asked for shall end too when the wait for it does, cancelled or too long.
        """
        message = _message(interface, member, signature, body, flags)
        reply = await self._send(message, timeout_s, ends_with_caller=ends_with_caller)
        values: list[Any] = reply.body
        return values

    async def call_for_stream(
        self, member: str, signature: str, body: list[Any], *, timeout_s: float, flags: MessageFlag
    ) -> tuple[str, int]:
        """A request's id and the read end of its pipe, which is then the caller's to close."""
        message = _message(wire.INTERFACE, member, signature, body, flags)
        reply = await self._send(message, timeout_s, ends_with_caller=True, take_fds=True)
        try:
            request_id, index = reply.body
            return request_id, take_fd(reply, index)
        except (ValueError, TypeError, DescriptorMissing) as error:
            raise Internal(f"the answer cannot be read: {error}") from None
        finally:
            close_fds(reply)

    async def close(self) -> None:
        self._closed = True
        await self.disconnect()

    async def disconnect(self) -> None:
        """Leave the bus; the next call comes back."""
        for line in (*self._leaving, self._line):
            if line is not None:
                await line.connection.close()

    async def _open_line(self) -> _Line:
        async with self._opening:
            self.refuse_if_closed()
            if self._line is None or self._line.connection.closed:
                self._line = _Line(await self._connect())
            return self._line

    async def _connect(self) -> Connection:
        try:
            address = _BUSES[self._bus]() if self._bus in _BUSES else self._bus
            return await Connection.open(
                address,
                on_signal=self._on_signal,
                timeout_s=CONNECT_TIMEOUT_S,
                max_values=_MAX_VALUES,
                unwrapped=True,
            )
        except BusException as error:
            raise ServiceUnavailable(f"cannot reach {self.bus_in_words}: {error}") from None

    async def _send(
        self, message: Message, timeout_s: float, *, ends_with_caller: bool, take_fds: bool = False
    ) -> Message:
        try:
            async with asyncio.timeout(timeout_s), self._slots, self._waiting(ends_with_caller) as connection:
                return await connection.call(message, timeout_s=None, take_fds=take_fds)
        except TimeoutError:
            raise Timeout(f"no answer from cortexd within {timeout_s:g} s") from None
        except BusException as error:
            raise self._explained(error, message) from None

    @asynccontextmanager
    async def _waiting(self, ends_with_caller: bool) -> AsyncIterator[Connection]:
        """A connection for one call."""
        line = await self._open_line()
        line.calls += 1
        try:
            yield line.connection
        except asyncio.CancelledError:
            line.abandoned = line.abandoned or ends_with_caller
            raise
        finally:
            line.calls -= 1
            await self._leave(line)

    async def _leave(self, line: _Line) -> None:
        """End `line` where nobody waits on it and it was abandoned, and take the current one out of use if so."""
        if line.abandoned and not line.calls:
            await line.connection.close()
            self._leaving.discard(line)
        current = self._line
        if current is not None and current.abandoned and len(self._leaving) < _MOST_LEAVING:
            self._line = None
            if current.calls:
                self._leaving.add(current)

    def _explained(self, error: BusException, message: Message) -> CortexError:
        """What went wrong with `message`, in the caller's words and not in the bus's."""
        if isinstance(error, BusError):
            return self._from_reply(error, message)
        if isinstance(error, ConnectionLost):
            return ServiceUnavailable(f"the connection to {self.bus_in_words} ended before an answer came: {error}")
        if isinstance(error, MessageTooLarge):
            return TooLarge(str(error))
        if isinstance(error, Unsendable):
            return InvalidArgument(str(error))
        return Internal(f"the answer cannot be read: {error}")

    def _from_reply(self, error: BusError, message: Message) -> CortexError:
        if error.name in _ABSENT:
            return ServiceUnavailable(
                f"cortexd is not running on {self.bus_in_words}. Start it with {self._start()}", cause=ABSENT
            )
        if error.name.startswith(_NOT_STARTED):
            return ServiceUnavailable(
                f"cortexd could not be started on {self.bus_in_words}: {error.text}", cause=ABSENT
            )
        if error.name in _FOREIGN or (error.name == _UNKNOWN_METHOD and message.interface == _PROPERTIES):
            return ServiceUnavailable(
                f"another program answers for {wire.BUS_NAME} on {self.bus_in_words}: "
                f"busctl status {wire.BUS_NAME} names it; stop it, and cortexd comes with the next call"
            )
        if error.name == _UNKNOWN_METHOD:
            return ServiceUnavailable(
                f"cortexd on {self.bus_in_words} is older than this program: it has no {message.member}. Restart it "
                "after an update, or update it",
                cause=OLDER,
            )
        if error.name in _ENDED:
            return ServiceUnavailable("cortexd left the bus before it answered")
        if error.name == f"{_STANDARD}LimitsExceeded":
            return RateLimited(
                f"{self.bus_in_words} takes no more calls of this connection for now", retry_after_ms=1000
            )
        return wire.error_from(error.name, error.text)

    def _start(self) -> str:
        return "systemctl start cortex-llm-router" if self._bus == "system" else f"cortexd --bus {self._bus}"


def _message(interface: str, member: str, signature: str, body: list[Any] | None, flags: MessageFlag) -> Message:
    message = method_call(wire.BUS_NAME, wire.OBJECT_PATH, interface, member, signature, body or [])
    message.flags = flags
    return message
