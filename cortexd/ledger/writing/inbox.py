"""What waits for the writer: calls, in the order in which they came, and upkeep, which lets them all go first."""

from __future__ import annotations

import queue
from collections import deque
from enum import Enum

from cortexd.domain.value import value
from cortexd.ledger.writing.actions import Action, Upkeep
from cortexd.ledger.writing.waiters import Waiter

MAX_GROUP = 256
MAX_PASSED = 20  # groups of calls, while upkeep waits; a writer that never rests does it all the same


@value
class Job:
    """An action and who waits for it."""

    action: Action
    waiter: Waiter


class _Word(Enum):
    LOOK = "look"  # at what waits: there may be something to do without a job
    END = "end"


class Inbox:
    """Any thread may put; one takes."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Job | _Word] = queue.SimpleQueue()
        self._upkeep: deque[Job] = deque()
        self._passed = 0

    def __len__(self) -> int:
        return self._queue.qsize()

    def put(self, job: Job) -> None:
        self._queue.put(job)

    def look(self) -> None:
        """Let who waits for a job go on without one."""
        self._queue.put(_Word.LOOK)

    def end(self) -> None:
        """No job comes after this."""
        self._queue.put(_Word.END)

    def take(self, timeout: float | None, upkeep: bool) -> tuple[list[Job], bool]:
        """The calls that wait now, at most MAX_GROUP, or one job of upkeep where there are none and `upkeep` allows it;
        False with the last ones. Waits for a job, or a `look`, for so many seconds.
        """
        ready = upkeep and bool(self._upkeep)
        if ready and self._passed >= MAX_PASSED:
            return self._take_upkeep(), True
        calls, open_ended = self._take_calls(0 if ready else timeout)
        if not open_ended:
            return [*calls, *self._upkeep], False
        if calls or not (upkeep and self._upkeep):
            self._passed += bool(calls and self._upkeep)
            return calls, True
        return self._take_upkeep(), True

    def _take_upkeep(self) -> list[Job]:
        self._passed = 0
        return [self._upkeep.popleft()]

    def _take_calls(self, timeout: float | None) -> tuple[list[Job], bool]:
        calls: list[Job] = []
        try:
            found = self._queue.get(timeout=timeout) if timeout != 0 else self._queue.get_nowait()
            while found is not _Word.END:
                if isinstance(found, Job):
                    (self._upkeep if isinstance(found.action, Upkeep) else calls).append(found)
                if len(calls) == MAX_GROUP:
                    return calls, True
                found = self._queue.get_nowait()
        except queue.Empty:
            return calls, True
        return calls, False
