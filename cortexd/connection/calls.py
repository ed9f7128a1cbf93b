"""Our own calls that wait for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dbus_next import MessageType

from cortexd.connection.decode import Frame
from cortexd.connection.descriptors import close_fds
from cortexd.connection.errors import BusException, BusTimeout, ConnectionLost
from cortexd.domain.newest import Latest

BUS_NAME = "org.freedesktop.DBus"
MAX_SERIAL = 2**32 - 1
_MAX_FOLLOWED = 256


class PendingCalls:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pending: dict[int, tuple[str, asyncio.Future[Frame]]] = {}
        self._serial = 0
        self._followed: Latest[int, Callable[[str], None]] = Latest(_MAX_FOLLOWED)

    def __len__(self) -> int:
        return len(self._pending)

    def next_serial(self) -> int:
        """1 to 2^32-1 and round again, without those that still wait for their answer."""
        while True:
            self._serial = self._serial % MAX_SERIAL + 1
            if self._serial not in self._pending:
                return self._serial

    def expect(self, serial: int, destination: str) -> asyncio.Future[Frame]:
        future: asyncio.Future[Frame] = self._loop.create_future()
        self._pending[serial] = destination, future
        return future

    async def answer(self, serial: int, timeout_s: float | None) -> Frame:
        """The answer to an expected call, its body still unread. Leaves nothing behind, however it ends."""
        _, future = self._pending[serial]
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, _too_late, future, timeout_s)
        try:
            return await future
        except asyncio.CancelledError:
            _abandon(future)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self.forget(serial)

    def forget(self, serial: int) -> None:
        self._pending.pop(serial, None)

    def follow(self, serial: int, undelivered: Callable[[str], None]) -> None:
        """Call `undelivered` with the error's name where the bus says that it could not deliver this reply of ours.

        It says nothing of those that it delivers: the latest are remembered.
        """
        self._followed.put(serial, undelivered)

    def settle(self, frame: Frame) -> None:
        """Give a reply to the call it answers. One that nobody waits for, or from a third party, is dropped."""
        message = frame.message
        if message.sender == BUS_NAME and message.message_type is MessageType.ERROR:
            undelivered = self._followed.pop(message.reply_serial, None)
            if undelivered is not None:
                undelivered(message.error_name)
        expected = self._pending.get(message.reply_serial)
        if expected is None or expected[1].done() or not _may_answer(message.sender, expected[0]):
            close_fds(message)
        else:
            expected[1].set_result(frame)

    def fail_all(self, reason: str) -> None:
        for _, future in self._pending.values():
            _fail(future, ConnectionLost(reason))


def _may_answer(sender: str | None, destination: str) -> bool:
    """The bus vouches for the sender; who owns a well-known name it alone knows, and its policy guards that."""
    if destination == BUS_NAME or destination.startswith(":"):
        return sender in (destination, BUS_NAME)
    return True


def _too_late(future: asyncio.Future[Frame], timeout_s: float) -> None:
    _fail(future, BusTimeout(f"no answer within {timeout_s:g} s"))


def _fail(future: asyncio.Future[Frame], error: BusException) -> None:
    if not future.done():
        future.set_exception(error)


def _abandon(future: asyncio.Future[Frame]) -> None:
    """The caller was cancelled; it may have been in the same turn of the loop in which the answer came."""
    if future.done() and not future.cancelled() and future.exception() is None:
        close_fds(future.result().message)
