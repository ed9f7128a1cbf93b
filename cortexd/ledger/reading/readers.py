"""Reading beside the writer: a few threads with connections of their own; each reading sees one state of the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from cortexd.errors import LedgerUnavailable
from cortexd.ledger.engines import Damage, Place

_THREADS = 2
_MAX_WAITING = 1000
T = TypeVar("T")


class Readers:
    """At most _THREADS readings at a time and _MAX_WAITING in all."""

    def __init__(self, place: Place, damage: Damage) -> None:
        self._damage = damage
        self._unwritable = place.engine.unwritable
        self._connections = place.readers(_THREADS)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ledger-reader")
        self._waiting = 0
        self.away: Callable[[], bool] = lambda: False
        """Whether nothing can be read: nobody is let wait for it."""
        self.failed: Callable[[], Awaitable[None]] | None = None
        """After a reading that failed: it finds out whether `away`, which reading alone proves to nobody."""

    async def read(self, query: Callable[[Connection], T]) -> T:
        """What `query` gives; LedgerUnavailable where too many wait or the file cannot be read."""
        if self.away():
            raise LedgerUnavailable("the ledger's database is away; try again later")
        if self._waiting >= _MAX_WAITING:
            raise LedgerUnavailable(f"{_MAX_WAITING} readings of the ledger are waiting; try again later")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, query)
        except LedgerUnavailable:
            if self.failed is not None:
                await self.failed()
            raise
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let running readings end. Blocks; not for the loop's thread."""
        self._threads.shutdown(cancel_futures=True)
        self._connections.dispose()

    def _read(self, query: Callable[[Connection], T]) -> T:
        try:
            with self._connections.connect() as connection:
                return query(connection)
        except SQLAlchemyError as error:
            if self._damage.is_why(error):
                raise self._damage.in_words(error) from error
            reason = self._unwritable(error) or type(error).__name__
            raise LedgerUnavailable(f"the ledger cannot be read: {reason}") from error
