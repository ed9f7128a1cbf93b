"""What takes requests that cost nothing while the shared ledger is away. Lives on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from cortexd.errors import LedgerUnavailable
from cortexd.ledger.records import NewRequest
from cortexd.ledger.spool import documents
from cortexd.ledger.spool.spool import Late, Spool
from cortexd.ledger.spool.state import BookedLater
from cortexd.ledger.writing.actions import Settle
from cortexd.ledger.writing.waiters import Waiter

_MOST_OPEN = 10_000


class StandIn:
    """Its keys are negative. `another` makes one who waits; `wake` is called when there is something more to book."""

    def __init__(self, spool: Spool, another: Callable[[], Waiter], wake: Callable[[], None]) -> None:
        self._spool = spool
        self._another = another
        self._wake = wake
        self._keys = count(-1, -1)
        self._open: dict[int, NewRequest] = {}
        self._ended: list[tuple[Waiter, bytes, Late | None]] = []
        self._keeping: asyncio.Task[None] | None = None

    def has(self, key: int) -> bool:
        return key in self._open

    def reserve(self, request: NewRequest) -> int:
        """Nothing, for a request that costs nothing; its key. Raises LedgerUnavailable where there is no room."""
        if len(self._open) >= _MOST_OPEN or not self._spool.room:
            raise LedgerUnavailable(
                f"The ledger's database is away, and {self._spool.path} is full. Try again when it is back."
            )
        key = next(self._keys)
        self._open[key] = request
        return key

    def settling(self, action: Settle) -> Waiter:
        """Have it on the disk, together with those that end meanwhile. Ends with BookedLater, or LedgerUnavailable
        where the disk refuses it; `late` hears of it once it is booked."""
        request, waiter = self._open.pop(action.key), self._another()
        self._ended.append((waiter, documents.whole(request, action.state, action.attempts), action.late))
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep())
        return waiter

    async def _keep(self) -> None:
        while self._ended:
            ended, self._ended = self._ended, []
            try:
                await asyncio.to_thread(self._spool.keep, [(document, late) for _, document, late in ended])
                told: LedgerUnavailable = BookedLater("the ledger is away; it is kept on the disk and booked later")
            except LedgerUnavailable as error:
                told = error
            for waiter, _, _ in ended:
                if not waiter.done():
                    waiter.set_exception(told)
            self._wake()
