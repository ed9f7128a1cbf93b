"""Live costs: one subscription with a bus connection of its own, kept up while services and buses come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self

from cortexd.client.figures import BudgetThreshold, CostEvent, PeriodStarted, ServiceChange, Snapshot
from cortexd.client.holds import BudgetHeld, HoldEnded
from cortexd.client.link import CONNECT_TIMEOUT_S, Link
from cortexd.client.outgoing import options_out
from cortexd.client.results import filled
from cortexd.connection import BusError, BusException, Connection, Message, MessageFlag, wire
from cortexd.errors import AccessDenied, CortexError, InvalidArgument, ServiceUnavailable

_QUEUED_AT_MOST = 10_000
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.2, 10.0
_BUS = "org.freedesktop.DBus"
_OWNER_RULE = (
    f"type='signal',sender='{_BUS}',path='/org/freedesktop/DBus',interface='{_BUS}',"
    f"member='NameOwnerChanged',arg0='{wire.BUS_NAME}'"
)
_PERIOD_RULE = (
    f"type='signal',sender='{wire.BUS_NAME}',path='{wire.OBJECT_PATH}',interface='{wire.INTERFACE}',"
    "member='PeriodStarted'"
)
_END = object()

Event = CostEvent | BudgetThreshold | BudgetHeld | HoldEnded | PeriodStarted | ServiceChange | Snapshot
_SIGNALS: dict[tuple[str, str], Callable[..., Event]] = {
    ("CostIncurred", "ssssda{sv}"): CostEvent.of,
    ("BudgetThreshold", "sddd"): BudgetThreshold,
    ("BudgetHeld", "sda{sv}"): BudgetHeld.of,
    ("HoldEnded", "ss"): HoldEnded,
    ("PeriodStarted", "s"): PeriodStarted,
}


class Subscription:
    """An async iterator of CostEvent, over this user's requests; events() tells of budgets, held requests, new days and
    months, the service's comings and goings, and where the figures stand after its return too. Begins with `async
    with`, or with the first event asked for; ends with close().

    A service may be started by the beginning, without `start` not even there: then `running` says whether there is
    one. Later ones are only followed, so that nobody restarts what an administrator stopped. What is not read is
    dropped past 10,000 events, oldest first, and counted in `dropped`. A connection of its own, because the signals do
    not name their subscription.
    """

    def __init__(self, bus: str, filter: Mapping[str, str], *, start: bool = True) -> None:
        self.snapshot = Snapshot()
        self.dropped = 0
        self._filter = filter
        self._flags = MessageFlag.NONE if start else MessageFlag.NO_AUTOSTART
        self._link = Link(bus, self._on_signal)
        self._queue: asyncio.Queue[object] = asyncio.Queue(_QUEUED_AT_MOST)
        self._attention = asyncio.Event()
        self._owner = ""
        self._subscribed_to = ""
        self._running = True
        self._opening = asyncio.Lock()
        self._begun = False
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> bool:
        """Whether the service is on the bus, as far as events() has been told."""
        return self._running

    async def open(self) -> Self:
        """Subscribe now. Raises ServiceUnavailable where there is no service that it may start or find; does nothing
        the second time."""
        async with self._opening:
            if not self._begun and not self._closed:
                try:
                    await self._begin(self._flags)
                except BaseException as error:
                    if not self._may_wait(error):
                        await self._link.disconnect()
                        raise
                    self._attention.set()
                self._begun, self._running = True, bool(self._subscribed_to)
                self._start(self._keep_up())
        return self

    def _may_wait(self, error: BaseException) -> bool:
        """Whether it is only that the service has just left, where it need not be there."""
        waits = self._flags is MessageFlag.NO_AUTOSTART and bool(self._link.unique_name)
        return waits and isinstance(error, ServiceUnavailable)

    async def close(self) -> None:
        """End the subscription; iterators end too, whatever is still queued."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await self._link.close()
        self._put(_END)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> CostEvent:
        while True:
            event = await self.next_event()
            if isinstance(event, CostEvent):
                return event

    async def events(self) -> AsyncIterator[Event]:
        """Costs, thresholds passed, requests held and no longer held, days and months begun, the service's leaving and
        returning, and a Snapshot after each return, in order."""
        try:
            while True:
                yield await self.next_event()
        except StopAsyncIteration:
            return

    async def next_event(self) -> Event:
        """The next of events(). Raises StopAsyncIteration after close(), and what made resubscribing fail."""
        await self.open()
        if self._closed:
            raise StopAsyncIteration
        event = await self._queue.get()
        if isinstance(event, Event):
            return event
        self._put(event)  # for whoever else waits, or asks again
        if isinstance(event, CortexError):
            raise event
        raise StopAsyncIteration

    def _put(self, event: object) -> None:
        if self._queue.full():
            self._queue.get_nowait()
            self.dropped += 1
        self._queue.put_nowait(event)

    def _on_signal(self, message: Message) -> None:
        """Only the bus tells who owns the name, and only the owner tells the rest: anybody may send us signals."""
        if message.sender == _BUS and message.member == "NameOwnerChanged":
            name, _old, new = message.body
            if name == wire.BUS_NAME:
                self._owner_changed(new)
        elif message.sender == self._owner and message.interface == wire.INTERFACE:
            event = _SIGNALS.get((message.member, message.signature))
            if event is not None:
                self._put(event(*message.body))

    def _owner_changed(self, owner: str) -> None:
        self._owner = owner
        if self._begun:  # until then it is only the service that our own call started
            self._tell(running=bool(owner))
            self._attention.set()

    def _tell(self, *, running: bool) -> None:
        if running is not self._running:
            self._running = running
            self._put(ServiceChange(running))

    async def _begin(self, flags: MessageFlag) -> None:
        """Connect and subscribe; where `flags` forbid to start a service and there is none, only connect."""
        connection = await self._link.connection()
        self._start(self._notice_loss(connection))
        try:
            for rule in (_OWNER_RULE, _PERIOD_RULE):
                await connection.add_match(rule, timeout_s=CONNECT_TIMEOUT_S)
            self._owner = await _owner_on(connection)
        except BusException as error:
            raise ServiceUnavailable(f"{self._link.bus_in_words} does not answer: {error}") from None
        if self._owner or flags is MessageFlag.NONE:
            await self._subscribe(flags)

    async def _subscribe(self, flags: MessageFlag) -> None:
        owner, arguments = self._owner, [options_out(self._filter)]
        _id, snapshot = await self._link.call(
            wire.USAGE_INTERFACE, "Subscribe", "a{sv}", arguments, timeout_s=CONNECT_TIMEOUT_S, flags=flags
        )
        self._subscribed_to = owner or self._owner
        self.snapshot = filled(Snapshot, snapshot)

    async def _notice_loss(self, connection: Connection) -> None:
        await connection.wait_closed()
        self._attention.set()

    async def _keep_up(self) -> None:
        """Follow each new owner and each new bus until close(), or until the service refuses us."""
        wait_s = _FIRST_RETRY_S
        while True:
            await self._attention.wait()
            self._attention.clear()
            try:
                if not self._link.unique_name:
                    await self._reconnect()
                elif self._owner and self._owner != self._subscribed_to:
                    await self._subscribe(MessageFlag.NO_AUTOSTART)
                    self._put(self.snapshot)
                wait_s = _FIRST_RETRY_S
            except (AccessDenied, InvalidArgument) as error:
                self._put(error)
                return
            except CortexError:
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_RETRY_S)
                self._attention.set()

    async def _reconnect(self) -> None:
        self._owner = ""
        self._tell(running=False)
        await self._begin(MessageFlag.NO_AUTOSTART)
        self._tell(running=bool(self._owner))
        if self._owner:
            self._put(self.snapshot)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _owner_on(connection: Connection) -> str:
    """The unique name that owns the service's name now; empty where nobody does."""
    try:
        [owner] = await connection.call_bus("GetNameOwner", "s", wire.BUS_NAME, timeout_s=CONNECT_TIMEOUT_S)
    except BusError as error:
        if error.name != f"{_BUS}.Error.NameHasNoOwner":
            raise
        return ""
    return str(owner)
