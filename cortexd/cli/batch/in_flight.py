"""The requests of a batch that are under way: so many at a time, written in the order of the input."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cortexd import errors
from cortexd.cli.batch.items import Item
from cortexd.cli.batch.output import Output
from cortexd.cli.talking.answering import cancel_quietly
from cortexd.errors import CortexError

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, Completion

_PATIENCE_S = 60.0  # without an answer to any line, for a service that restarts, or that has too much to do
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.2, 5.0
_AHEAD = 4  # answers that wait for an earlier line, in windows of requests
# asking the same again is safe, since a request id is never paid twice
_PASSING = (errors.RateLimited, errors.ServiceUnavailable, errors.ShuttingDown)
# what fails one line would fail all that follow
_FINAL = (errors.ServiceUnavailable, errors.ShuttingDown, errors.LedgerUnavailable, errors.BudgetExceeded)


@dataclass(slots=True)
class Tally:
    """`cost_nano_usd` is what the answers cost, be it now or in an earlier run."""

    answered: int = 0
    failed: int = 0
    skipped: int = 0
    expired: int = 0
    cost_nano_usd: int = 0


class InFlight:
    """Takes items, asks, and writes one row each. run() may be called again after it raised
    InteractiveAuthorizationRequired: it goes on where it was, and nothing is lost or asked twice."""

    def __init__(
        self,
        items: AsyncIterator[Item],
        output: Output,
        parallel: int,
        on_row: Callable[[Tally], None],
        *,
        ask_again: bool = False,
    ) -> None:
        """`ask_again`: pay a second time for an answer that the service no longer holds."""
        self.tally = Tally()
        self._items = items
        self._output = output
        self._turns = _Turns(parallel)
        self._most = parallel * _AHEAD
        self._on_row = on_row
        self._ask_again = ask_again
        self._window: deque[_Slot] = deque()
        self._next: asyncio.Task[Item | None] | None = None
        self._ended = False

    async def run(self, client: AsyncClient) -> None:
        """Until the input ends. Raises what would fail every line, with all answers that have come written."""
        try:
            for slot in self._window:
                slot.begin(client, self._turns)
            while self._window or not self._ended:
                await self._step(client)
        except errors.InteractiveAuthorizationRequired:
            await self._stop(client)
            raise
        except BaseException:
            await self._stop(client)
            if self._next is not None:
                self._next.cancel()
                await asyncio.wait([self._next])
            self._write_rest()
            raise

    async def _step(self, client: AsyncClient) -> None:
        """Write the row at the head or take a line, whichever can be done first."""
        if self._window and self._window[0].finished:
            row = self._window[0].row()
            self._write(self._window.popleft(), row)
            return
        room = not self._ended and len(self._window) < self._most
        if room and self._next is None:
            self._next = asyncio.create_task(self._read())
        head = self._window[0].task if self._window else None
        waiting = [task for task in (head, self._next if room else None) if task is not None]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if room and self._next is not None and self._next.done():
            self._take(self._next.result(), client)
            self._next = None

    async def _read(self) -> Item | None:
        return await anext(self._items, None)

    def _take(self, item: Item | None, client: AsyncClient) -> None:
        if item is None:
            self._ended = True
        elif self._output.has(item):
            self.tally.skipped += 1
            self._on_row(self.tally)
        else:
            self._window.append(_Slot(item, self._output.failures(item), self._ask_again))
            self._window[-1].begin(client, self._turns)

    def _write_rest(self) -> None:
        """At an early end: what is paid for must not be lost, although lines before it are missing."""
        for slot in self._window:
            if slot.answer is not None:
                self._write(slot, _answered(slot.item, slot.answer))
            elif slot.cancelled:
                self._output.write(slot.failed(errors.Cancelled("the batch was ended")))

    def _write(self, slot: _Slot, row: dict[str, Any]) -> None:
        self._output.write(row)
        if slot.answer is None:
            self.tally.failed += 1
            self.tally.expired += row["error"]["name"] == errors.AnswerExpired.__name__
        else:
            self.tally.answered += 1
            self.tally.cost_nano_usd += slot.answer.cost_nano_usd
        self._on_row(self.tally)

    async def _stop(self, client: AsyncClient) -> None:
        asked = [name for slot in self._window if (name := slot.stop())]
        await asyncio.gather(*(slot.gone() for slot in self._window))
        await cancel_quietly(client, asked)


class _Turns:
    """So many at a time; `taken` are under way. `moved_at`: when one was answered last."""

    def __init__(self, most: int) -> None:
        self.taken = 0
        self.moved_at = time.monotonic()
        self._free = asyncio.Semaphore(most)

    async def __aenter__(self) -> None:
        await self._free.acquire()
        self.taken += 1

    async def __aexit__(self, *_: object) -> None:
        self.taken -= 1
        self._free.release()


class _Slot:
    """One item on its way to a row. `answer` is there once it has been answered."""

    def __init__(self, item: Item, failures: int, ask_again: bool) -> None:
        self.item = item
        self.answer: Completion | None = None
        self.task: asyncio.Task[Completion] | None = None
        self.asked = False
        self._failures = failures
        self._ask_again = ask_again

    @property
    def finished(self) -> bool:
        return self.task is None or self.task.done()

    @property
    def cancelled(self) -> bool:
        """While it was asked: its id is used up."""
        return self.asked and self.task is not None and self.task.cancelled()

    def begin(self, client: AsyncClient, turns: _Turns) -> None:
        if self.item.fault is None and self.answer is None:
            self.task = asyncio.create_task(self._ask(client, turns))

    def row(self) -> dict[str, Any]:
        """What to write, once it is finished. Raises an error that would be the same for all lines."""
        try:
            if self.task is None:
                assert self.item.fault is not None
                raise self.item.fault
            self.answer = self.answer or self.task.result()
            return _answered(self.item, self.answer)
        except errors.InteractiveAuthorizationRequired:
            raise
        except CortexError as error:
            if isinstance(error, _FINAL) and "max_cost_usd" not in (self.item.options or {}):
                raise
            return self.failed(error)

    def failed(self, error: CortexError) -> dict[str, Any]:
        """An expired answer is no failure: only who says so pays for it a second time."""
        failures = self._failures + (not isinstance(error, errors.AnswerExpired))
        told = {"name": type(error).__name__, "message": error.message, **error.details}
        return {**_row(self.item), "error": told, "failures": failures}

    def stop(self) -> str:
        """Ask no more; the id of a request that is under way, and goes on until it is cancelled."""
        if self.task is None or self.task.done():
            return ""
        self.task.cancel()
        return self.item.try_id(self._failures) if self.asked else ""

    async def gone(self) -> None:
        if self.task is not None:
            await asyncio.wait([self.task])
            if not self.task.cancelled() and self.task.exception() is None:
                self.answer = self.task.result()

    async def _ask(self, client: AsyncClient, turns: _Turns) -> Completion:
        give_up, pause_s = time.monotonic() + _PATIENCE_S, _FIRST_RETRY_S
        while True:
            options = {**(self.item.options or {}), "request_id": self.item.try_id(self._failures)}
            try:
                async with turns:
                    self.asked = True
                    answer = await client.complete(self.item.task_type, self.item.messages, **options)
                    turns.moved_at = time.monotonic()
                    return answer
            except errors.AnswerExpired:
                if not self._ask_again:
                    raise
                self._failures += 1
            except errors.BudgetExceeded as error:
                self.asked = False
                others_end = turns.taken or "retry_after_ms" in error.details
                if not others_end or "max_cost_usd" in options:
                    raise
                await asyncio.sleep(pause_s)  # what others reserve is more than what they will have cost
            except _PASSING as error:
                self.asked = False
                wait_s = max(int(error.details.get("retry_after_ms", 0)) / 1000, pause_s)
                if time.monotonic() + wait_s > max(give_up, turns.moved_at + _PATIENCE_S):
                    raise
                await asyncio.sleep(wait_s)
                pause_s = min(pause_s * 2, _LONGEST_RETRY_S)


def _answered(item: Item, answer: Completion) -> dict[str, Any]:
    return {**_row(item), "content": answer.content, "metadata": answer.metadata}


def _row(item: Item) -> dict[str, Any]:
    return {"line": item.line, "id": item.id, "request_id": item.request_id}
