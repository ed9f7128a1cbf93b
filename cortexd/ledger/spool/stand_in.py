"""What takes requests that cost nothing while the shared ledger is away. Lives on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count

from cortexd.errors import LedgerUnavailable, RequestNotFound
from cortexd.ledger.records import AttemptRecord, NewRequest, RequestState
from cortexd.ledger.spool import documents
from cortexd.ledger.spool.spool import Late, Spool

_MOST_OPEN = 10_000


class BookedLater(LedgerUnavailable):
    """The settlement is on this machine's disk, and will be booked."""


class StandIn:
    """Its keys are negative. `wake` is called when there is something more to book."""

    def __init__(self, spool: Spool, wake: Callable[[], None]) -> None:
        self._spool = spool
        self._wake = wake
        self._keys = count(-1, -1)
        self._open: dict[int, NewRequest] = {}
        self._ended: list[tuple[bytes, Late | None]] = []
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

    async def settle(
        self, key: int, state: RequestState, attempts: Sequence[AttemptRecord], late: Late | None
    ) -> BookedLater:
        """Have it on the disk, together with those that end meanwhile; what its caller is told then. `late` hears of it
        once it is booked. Raises LedgerUnavailable where the disk refuses it, and RequestNotFound."""
        request = self._open.pop(key, None)
        if request is None:
            raise RequestNotFound(f"request {key} is not pending")
        self._ended.append((documents.whole(request, state, attempts), late))
        keeping = self._keeping
        if keeping is not None and not keeping.done():
            await asyncio.wait((keeping,))  # what came after it began goes next
        if self._ended:
            ended, self._ended = self._ended, []
            self._keeping = asyncio.create_task(self._keep(ended))
        assert self._keeping is not None
        await asyncio.shield(self._keeping)
        return BookedLater("The ledger's database is away; the request is kept here and booked once it is back.")

    async def _keep(self, ended: Sequence[tuple[bytes, Late | None]]) -> None:
        await asyncio.to_thread(self._spool.keep, ended)
        self._wake()
