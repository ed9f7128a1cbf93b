"""Commits on the loop's thread, where a request is alone: to hand one over, and its result back, is a tenth of a call.

A commit that waits for nothing is over in a fraction of a millisecond. The writer's thread makes it where anything else
is under way, and all of them for a while where one took longer, as on a disk that has no time, or could not be made.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cortexd.ledger.writing.actions import Action, Reserve, ReserveMore, Result, Settle
from cortexd.ledger.writing.write_back import WriteBack

if TYPE_CHECKING:
    from cortexd.ledger.writing.late_store import AnyStore

_LONG_S, _REST_S = 0.01, 10.0


class AtOnce:
    """`turn`: the thread holds it while it has anything to do. `handed`: so many jobs are with the thread, from when
    they were handed over until somebody has heard of them; of the loop's thread, as is all that follows."""

    def __init__(
        self,
        store: AnyStore,
        write_back: WriteBack,
        look: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        renew_s: float,
    ) -> None:
        """`look`: wakes the thread. It renews leases by itself once it has seen one, after so many seconds at most."""
        self.turn = threading.Lock()
        self.handed = 0
        self._store = store
        self._write_back = write_back
        self._look = look
        self._loop = loop
        self._renew_s = renew_s
        self._timer: asyncio.TimerHandle | None = None
        self._resting_until = 0.0

    def write(self, action: Action) -> list[Result]:
        """Its result; [] where nothing has happened, and it is the thread's."""
        if self.handed or not isinstance(action, Reserve | Settle | ReserveMore):
            return []
        start = time.monotonic()
        if start < self._resting_until or not self.turn.acquire(blocking=False):
            return []
        try:
            if not (self._store.at_once(action) and self._write_back.quiet) or self._store.fold_free():
                return []
            results = self._store.run_at_once(action)
            if results:
                self._write_back.committed(upkeep=False)
            wake = self._write_back.due or bool(self._store.fold_free())
        finally:
            self.turn.release()
        now = time.monotonic()
        if not results or now - start > _LONG_S:
            self._resting_until = now + _REST_S
        if wake:
            self._look()
        if self._timer is None and isinstance(action, Reserve):
            self._timer = self._loop.call_later(self._renew_s, self._renew)
        return results

    def _renew(self) -> None:
        self._timer = None
        if self._store.holding:
            self._look()
