"""One connection to a bus: calls out, calls in, signals both ways."""

from __future__ import annotations

import asyncio
import logging
import socket
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Self

from dbus_next import Message, MessageType

from cortexd.connection.address import connect
from cortexd.connection.bus_methods import BusMethods
from cortexd.connection.calls import BUS_NAME, PendingCalls
from cortexd.connection.decode import MAX_VALUES, Frame, read_header
from cortexd.connection.descriptors import close_all, close_fds, duplicate
from cortexd.connection.encode import encode
from cortexd.connection.errors import (
    BusError,
    BusException,
    BusTimeout,
    ConnectionLost,
    Malformed,
    MessageTooLarge,
    TooManyValues,
    Unsendable,
)
from cortexd.connection.handshake import authenticate
from cortexd.connection.inbox import Inbox
from cortexd.connection.outbox import Outbox, Outgoing, Sent
from cortexd.connection.refusals import (
    ERROR_INTERNAL,
    ERROR_TOO_LARGE,
    ERROR_UNKNOWN_METHOD,
    REPLIES,
    in_place_of,
    internal_text,
    wants_reply,
)
from cortexd.connection.signatures import bound_signature_cache

log = logging.getLogger("cortexd.connection")

MAX_OUTGOING_BYTES = 64 * 2**20
HIGH_WATER = 8 * 2**20  # bytes queued for sending at which reading stops …
LOW_WATER = 2 * 2**20  # … and goes on again
STALL_S = 30.0

Handler = Callable[[Message], None]

bound_signature_cache()


class Connection(BusMethods):
    """`on_call` and `on_signal` get every method call and every signal, synchronously, and start their own tasks
    for anything that takes time; both may be assigned later. Without `on_call`, calls get UnknownMethod.
    `may_read` is asked about a call of many bytes, by its header and its length, before they are read; where it says no
    it has answered.
    Of the descriptors that came with a message, those not claimed by take_fd() before they return are closed.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        fds: bool,
        max_outgoing_bytes: int = MAX_OUTGOING_BYTES,
        max_values: int = MAX_VALUES,
        stall_s: float = STALL_S,
        unwrapped: bool = False,
    ) -> None:
        """Use Connection.open()."""
        self.on_call: Handler | None = None
        self.on_signal: Handler | None = None
        self.may_read: Callable[[Message, int], bool] | None = None
        self.unique_name = ""
        self.signals_dropped = 0
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fds = fds
        self._max_outgoing_bytes = max_outgoing_bytes
        self._max_values = max_values
        self._unwrapped = unwrapped
        self._inbox = Inbox(sock, self._handle, self._lose, self._wants)
        self._outbox = Outbox(sock, self._regulate, self._lose, stall_s=stall_s)
        self._calls = PendingCalls()
        self._closed: asyncio.Future[str] = self._loop.create_future()

    @classmethod
    async def open(
        cls,
        address: str,
        *,
        on_call: Handler | None = None,
        on_signal: Handler | None = None,
        timeout_s: float = 10,
        fds: bool = True,
        max_outgoing_bytes: int = MAX_OUTGOING_BYTES,
        max_values: int = MAX_VALUES,
        stall_s: float = STALL_S,
        unwrapped: bool = False,
    ) -> Self:
        """Connect, authenticate, say Hello. `fds`: let file descriptors travel, where the bus agrees.

        `max_outgoing_bytes` bounds the queue for signals, `max_values` the values unpacked from one message,
        `stall_s` the time that the bus may take nothing while something is queued; then it counts as lost.
        `unwrapped`: bodies come with what a variant holds in its place.
        Raises ConnectionLost, BusTimeout, BusError.
        """
        try:
            async with asyncio.timeout(timeout_s):
                sock = await connect(address)
                try:
                    agreed = await authenticate(sock, fds=fds)
                except BaseException:
                    sock.close()
                    raise
        except TimeoutError:
            raise BusTimeout(f"the bus did not let us in within {timeout_s:g} s") from None
        except OSError as error:
            raise ConnectionLost(f"the bus ended the connection: {error.strerror}") from None
        self = cls(
            sock,
            fds=agreed,
            max_outgoing_bytes=max_outgoing_bytes,
            max_values=max_values,
            stall_s=stall_s,
            unwrapped=unwrapped,
        )
        self.on_call, self.on_signal = on_call, on_signal
        await self._hello(timeout_s)
        return self

    async def _hello(self, timeout_s: float) -> None:
        try:
            [self.unique_name] = await self.call_bus("Hello", timeout_s=timeout_s)
        except BaseException:
            await self.close()
            raise

    # -- state -----------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._closed.done()

    @property
    def outgoing_bytes(self) -> int:
        """Bytes queued that the kernel has not taken yet."""
        return self._outbox.queued_bytes

    @property
    def used(self) -> asyncio.Event:
        """Set by each message that is sent; whoever waits for it clears it."""
        return self._outbox.used

    @property
    def sent(self) -> Sent:
        return self._outbox.sent

    @property
    def received_bytes(self) -> int:
        """Bytes that the socket has given so far."""
        return self._inbox.received_bytes

    @property
    def pending_calls(self) -> int:
        """Calls of ours that wait for their answer."""
        return len(self._calls)

    async def wait_closed(self) -> str:
        """The reason, as soon as the bus is gone for whatever reason."""
        return await asyncio.shield(self._closed)

    async def drain(self, timeout_s: float) -> bool:
        """True once everything sent so far was handed to the kernel, False if that did not happen in time."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._outbox.drained()
        except TimeoutError:
            return False

    async def close(self) -> None:
        """Leave the bus at once; drain() first where something is on its way."""
        self._lose("closed by this side")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- out -------------------------------------------------------------------

    async def call(self, message: Message, *, timeout_s: float | None, take_fds: bool = False) -> Message:
        """Send a method call, return its METHOD_RETURN. Without `timeout_s` the deadline is the caller's own.

        With `take_fds` the caller owns every descriptor in the answer's `unix_fds`; without, they are closed.
        Raises BusError for an error reply, BusTimeout, ConnectionLost, Unsendable or MessageTooLarge for the
        content, TooManyValues for the answer's.
        """
        if self.closed:
            raise ConnectionLost(self._closed.result())
        serial = self._calls.next_serial()
        self._calls.expect(serial, message.destination or BUS_NAME)
        try:
            self._post(message, serial)
        except BaseException:
            self._calls.forget(serial)
            raise
        frame = await self._calls.answer(serial, timeout_s)
        return self._opened(frame, take_fds)

    def _opened(self, frame: Frame, take_fds: bool) -> Message:
        reply = frame.message
        try:
            frame.read_body(self._max_values, unwrapped=self._unwrapped)
        except BusException:
            close_fds(reply)
            raise
        failed = reply.message_type is MessageType.ERROR
        if failed or not take_fds:
            close_fds(reply)
        if failed:
            text = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
            raise BusError(reply.error_name, text)
        return reply

    def send(self, message: Message, undelivered: Callable[[str], None] | None = None) -> None:
        """Queue a reply, an error, a signal or a call that wants no answer. Never raises for its content.

        A reply that cannot be sent becomes the error Internal or TooLarge, anything else a line in the log.
        Descriptors in `unix_fds` are copied; the caller's own may be closed at once. Signals are dropped, and
        counted in `signals_dropped`, while `max_outgoing_bytes` are queued. On a closed connection nothing happens.
        `undelivered` is called with the name of the error with which the bus refuses to deliver a reply.
        """
        if self.closed:
            return
        if message.message_type is MessageType.SIGNAL and self.outgoing_bytes >= self._max_outgoing_bytes:
            self.signals_dropped += 1
            return
        serial = self._calls.next_serial()
        try:
            self._post(message, serial)
        except Unsendable as error:
            self._send_instead(message, error)
            return
        if undelivered is not None:
            self._calls.follow(serial, undelivered)

    def _post(self, message: Message, serial: int) -> None:
        if message.unix_fds:
            self._outbox.put(self._with_fds(message, serial))
        else:
            self._outbox.send(encode(message, serial))
        self._regulate()

    def _with_fds(self, message: Message, serial: int) -> Outgoing:
        fds = duplicate(message.unix_fds)
        try:
            if not self._fds:
                raise Unsendable("this bus carries no file descriptors")
            data = memoryview(encode(message, serial, len(fds)))
            return Outgoing(data, fds, memoryview(self._internal_error(message)))
        except BaseException:
            close_all(fds)
            raise

    def _internal_error(self, message: Message) -> bytes | bytearray:
        """What to send in place of `message`; nothing where it answers no call."""
        if message.message_type not in REPLIES:
            return b""
        return encode(in_place_of(message, ERROR_INTERNAL, internal_text()), self._calls.next_serial())

    def _send_instead(self, message: Message, error: Unsendable) -> None:
        if isinstance(error, MessageTooLarge):
            name, text, note = ERROR_TOO_LARGE, str(error), ""
        else:
            name, text = ERROR_INTERNAL, internal_text()
            note = f" ({text})"
        log.error("%s not sent: %s%s", message.message_type.name.lower(), error, note)
        if message.message_type not in REPLIES:
            return
        try:
            self._post(in_place_of(message, name, text), self._calls.next_serial())
        except Unsendable as again:
            log.error("no error sent in its place: %s", again)

    # -- in --------------------------------------------------------------------

    def _wants(self, start: bytes, length: int) -> bool:
        """Whether to read a large message that begins so."""
        if self.may_read is None:
            return True
        try:
            frame = read_header(start)
        except (Malformed, TooManyValues):
            return True  # its header is not all there; it is judged when the message is
        if frame.message.message_type is not MessageType.METHOD_CALL or self.may_read(frame.message, length):
            return True
        close_all(self._inbox.take_fds(frame.fd_count))
        return False

    def _handle(self, data: bytes | bytearray) -> None:
        try:
            frame = read_header(data)
        except (Malformed, TooManyValues) as error:
            self._inbox.close_fds()  # which of them were this message's cannot be known
            log.error("a message was skipped: %s", error)
            return
        fds = self._inbox.take_fds(frame.fd_count)
        if frame.message.message_type is None:
            close_all(fds)
            return
        frame.message.unix_fds = fds
        if frame.message.message_type in REPLIES:
            self._calls.settle(frame)
        else:
            self._dispatch(frame)

    def _dispatch(self, frame: Frame) -> None:
        message = frame.message
        call = message.message_type is MessageType.METHOD_CALL
        handler = self.on_call if call else self.on_signal
        try:
            if handler is not None:
                frame.read_body(self._max_values, unwrapped=self._unwrapped)
                handler(message)
            elif call:
                self._refuse(message, ERROR_UNKNOWN_METHOD, "this connection offers no methods")
        except TooManyValues as error:
            self._refuse(message, ERROR_TOO_LARGE, str(error))
        except Exception as error:  # noqa: BLE001  # the last line of defence: no handler's mistake ends the service
            self._report(message, error)
        finally:
            close_fds(message)

    def _report(self, message: Message, error: Exception) -> None:
        """An error's own text may quote the caller's content, so neither the log nor the caller gets it."""
        text = internal_text()
        trace = "".join(traceback.format_tb(error.__traceback__))
        log.error("%s in %s.%s (%s)\n%s", type(error).__name__, message.interface, message.member, text, trace)
        self._refuse(message, ERROR_INTERNAL, text)

    def _refuse(self, message: Message, name: str, text: str) -> None:
        if wants_reply(message):
            self.send(Message.new_error(message, name, text))

    # -- flow ------------------------------------------------------------------

    def _regulate(self) -> None:
        """Stop reading while too much waits to be written: whoever makes us answer must first take the answers."""
        queued = self._outbox.queued_bytes
        if queued > HIGH_WATER:
            self._inbox.hold()
        elif queued <= LOW_WATER:
            self._inbox.release()

    def _lose(self, reason: str) -> None:
        if self.closed:
            return
        self._closed.set_result(reason)
        self._inbox.close()
        self._outbox.close()
        self._calls.fail_all(reason)
        self._sock.close()
