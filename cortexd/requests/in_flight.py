"""Requests under way, and the answers just given, by (uid, request id): what a repeated call joins or gets again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from cortexd.domain.tasks import TaskType
from cortexd.errors import Cancelled, CortexError, ShuttingDown
from cortexd.requests.answers.repeats import Given, Key, Repeats

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Ticket:
    """One request from its arrival to its end. `state`: queued, authorizing, running, streaming or held.

    `detached`: the caller chose the id, so the request outlives its caller. `joined`: how many later calls wait for its
    answer now.
    """

    key: Key
    task_type: TaskType
    detached: bool
    deadline_s: float
    began: float = field(default_factory=time.monotonic)
    state: str = "queued"
    provider: str = ""
    model: str = ""
    joined: int = 0
    cancelled: bool = False
    task: asyncio.Task[Any] | None = None
    shut_down: bool = False

    @property
    def interruption(self) -> CortexError:
        """What whoever waits for this request is told where its work was cut off."""
        if self.shut_down:
            return ShuttingDown("cortexd shut down before the answer came. Ask again.", retry_after_ms=1000)
        return Cancelled("the request was cancelled")

    def cancel(self) -> None:
        """End it, wherever it stands; whoever waits for it gets Cancelled. Again is harmless."""
        if self.cancelled:
            return
        self.cancelled = True
        if self.task is not None:
            self.task.cancel()

    def left_by(self, task: asyncio.Task[Any], cancelled: int) -> bool:
        """Whether `task`, which did this request's work, was itself cancelled, and not the request alone. `cancelled`:
        how often it was before the work."""
        for _ in range(self.cancelled + self.shut_down):  # each has cancelled it once
            if task.cancelling() > cancelled:
                task.uncancel()
        self.cancelled = self.shut_down = False
        return task.cancelling() > cancelled


@dataclass(slots=True)
class Running(Generic[T]):
    """One request whose work has begun. `ended`: its task, or a future where that does more than this work."""

    content_hash: bytes
    ticket: Ticket
    task: asyncio.Task[T]
    ended: asyncio.Future[Any]

    def reader_left(self) -> None:
        """The stream that began it has lost its reader: end it, unless others have joined."""
        if self.ticket.joined:
            self.ticket.state = "running"
        else:
            self.task.cancel()

    async def join(self) -> T:
        """Wait, as a later call, for what an earlier one began."""
        self.ticket.joined += 1
        try:
            return await self.wait()
        finally:
            self.ticket.joined -= 1

    async def until(self, reserved: asyncio.Future[None]) -> None:
        """Return once the money is reserved; raise what the request ended in before."""
        either: set[asyncio.Future[Any]] = {reserved, self.task}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.task.cancel()
            raise
        if not reserved.done():
            await self.wait()

    async def wait(self) -> T:
        """The request's answer. A waiter who leaves does not end the work: another may come for it."""
        try:
            return await asyncio.shield(self.task)
        except asyncio.CancelledError:
            if self.task.cancelled():
                raise self.ticket.interruption from None
            raise


class _Arrived:
    """One more while it is entered."""

    __slots__ = ("_task", "_ticket", "_tickets")

    def __init__(self, tickets: dict[Ticket, None], ticket: Ticket) -> None:
        self._tickets = tickets
        self._ticket = ticket

    def __enter__(self) -> None:
        self._tickets[self._ticket] = None
        self._task = self._ticket.task = asyncio.current_task()

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _at: object) -> None:
        ticket, task = self._ticket, self._task
        if ticket.task is task:
            ticket.task = None
        if ticket.task is None:
            self._tickets.pop(ticket, None)
        if kind is asyncio.CancelledError and ticket.cancelled and task is not None and task.uncancel() == 0:
            raise ticket.interruption from None


class InFlight(Generic[T]):
    """The daemon's own requests; finished answers to chosen ids are kept a while."""

    def __init__(
        self,
        size_of: Callable[[T], int],
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_change = on_change
        self._repeats = Repeats(size_of, clock)
        self._tickets: dict[Ticket, None] = {}
        self._running: dict[Key, Running[T]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def arrived(self, ticket: Ticket) -> _Arrived:
        """Know of a request until its work begins or it is given up. The current task waits on its behalf meanwhile:
        Cancelled is raised where `cancel` ended the wait."""
        return _Arrived(self._tickets, ticket)

    def start(self, ticket: Ticket, content_hash: bytes, work: Coroutine[Any, Any, T]) -> Running[T]:
        """Run `work` as this request's task; it is forgotten, or its answer kept, when it ends."""
        task = asyncio.create_task(work, name=f"request {ticket.key[1]}")
        running = Running(content_hash, ticket, task, task)
        self._begun(running)
        running.task.add_done_callback(lambda _task: self._finished(running))
        return running

    async def alone(self, ticket: Ticket, work: Awaitable[T]) -> T:
        """The answer of `work`, which is done in the task that waits for it: nobody else can come for it. Raises what
        the work does, Cancelled where the request was, and CancelledError where the task was."""
        task = asyncio.current_task()
        assert task is not None
        cancelled, ended = task.cancelling(), asyncio.get_running_loop().create_future()
        running: Running[T] = Running(b"", ticket, task, ended)
        self._begun(running)
        try:
            answer = await work
        except (CortexError, asyncio.CancelledError) as error:
            told = error if isinstance(error, CortexError) else ticket.interruption
            if ticket.left_by(task, cancelled):
                raise asyncio.CancelledError from None
            raise told from None
        finally:
            self._over(running)
            ended.set_result(None)
        if ticket.left_by(task, cancelled):
            raise asyncio.CancelledError
        return answer

    def tickets(self, uid: int) -> list[Ticket]:
        """That user's requests, oldest first."""
        return [ticket for ticket in self._tickets if ticket.key[0] == uid]

    def cancel(self, key: Key) -> bool:
        """Cancel every request of that user with that id, waiting or under way. False where there is none."""
        found = [ticket for ticket in self._tickets if ticket.key == key]
        for ticket in found:
            ticket.cancel()
        return bool(found)

    async def end(self, uid: int) -> None:
        """Cancel every request of that user, and wait for the end of those that had begun."""
        for ticket in self.tickets(uid):
            ticket.cancel()
        if ends := [running.ended for (owner, _), running in self._running.items() if owner == uid]:
            await asyncio.wait(ends)

    def forget(self, uid: int) -> None:
        """Keep no answer of that user."""
        self._repeats.forget(uid)

    def running(self, key: Key) -> Running[T] | None:
        return self._running.get(key)

    def given(self, key: Key) -> Given[T] | None:
        """The content hash and answer of a request that ended lately."""
        return self._repeats.find(key)

    async def outlive(self) -> None:
        """Wait for the requests that are under way now, not for later ones."""
        if ends := [running.ended for running in self._running.values()]:
            await asyncio.wait(ends)

    async def drain(self, timeout_s: float) -> bool:
        """Wait for every request to end; after `timeout_s` cancel those left. True if none had to be cancelled."""
        if self._running:
            await asyncio.wait([running.ended for running in self._running.values()], timeout=timeout_s)
        late = [running for running in self._running.values() if not running.ended.done()]
        for running in late:
            running.ticket.shut_down = True
            running.task.cancel()
        if late:
            await asyncio.wait([running.ended for running in late], timeout=5)
        return not late

    def _begun(self, running: Running[T]) -> None:
        ticket = running.ticket
        self._running[ticket.key] = running
        self._tickets[ticket] = None
        ticket.state, ticket.task = "running", running.task
        self._on_change()

    def _over(self, running: Running[T]) -> None:
        del self._running[running.ticket.key]
        self._tickets.pop(running.ticket, None)
        running.ticket.task = None  # whose error holds frames that hold the ticket: a cycle around the prompt
        self._on_change()

    def _finished(self, running: Running[T]) -> None:
        self._over(running)
        key = running.ticket.key
        if running.task.cancelled() or running.task.exception() is not None or not running.ticket.detached:
            return
        self._repeats.keep(key, running.content_hash, running.task.result())
