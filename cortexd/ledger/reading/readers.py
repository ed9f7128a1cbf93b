"""Reading beside the writer: a few threads with connections of their own; each reading sees one state of the ledger."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from cortexd.errors import LedgerUnavailable
from cortexd.ledger.engines import NotResting
from cortexd.ledger.reading.at_start import Rows

if TYPE_CHECKING:
    import sqlalchemy
    from sqlalchemy import Connection

    from cortexd.ledger.writing.late_store import AnyStore
    from cortexd.ledger.writing.store import Store

_THREADS = 2
_MAX_WAITING = 1000
T = TypeVar("T")


class Readers:
    """At most _THREADS readings at a time and _MAX_WAITING in all."""

    def __init__(self, store: AnyStore) -> None:
        self._store = store
        self._connections: sqlalchemy.Engine | None = None
        self._connecting = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ledger-reader")
        self._waiting = 0
        self.away: Callable[[], bool] = lambda: False
        """Whether nothing can be read: nobody is let wait for it."""
        self.failed: Callable[[], Awaitable[None]] | None = None
        """After a reading that failed: it finds out whether `away`, which reading alone proves to nobody."""

    async def read(self, query: Callable[[Connection], T]) -> T:
        """What `query` gives; LedgerUnavailable where too many wait or the file cannot be read."""
        return await self._in_thread(lambda: self._read(query))

    async def read_plain(self, query: Callable[[Rows], T]) -> T:
        """The same for what reads with nothing but a driver; a ledger at rest is not opened for it."""
        return await self._in_thread(lambda: self._read_plain(query))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self.away():
            raise LedgerUnavailable("the ledger's database is away; try again later")
        if self._waiting >= _MAX_WAITING:
            raise LedgerUnavailable(f"{_MAX_WAITING} readings of the ledger are waiting; try again later")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except LedgerUnavailable:
            if self.failed is not None:
                await self.failed()
            raise
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let running readings end. Blocks; not for the loop's thread."""
        self._threads.shutdown(cancel_futures=True)
        if self._connections is not None:
            self._connections.dispose()

    def _read_plain(self, query: Callable[[Rows], T]) -> T:
        if (resting := self._store.resting) is not None:
            with suppress(NotResting):
                return query(resting.rows)
        return self._read(lambda connection: query(_rows_of(connection)))

    def _read(self, query: Callable[[Connection], T]) -> T:
        store = self._store.opened()
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._of(store).connect() as connection:
                return query(connection)
        except SQLAlchemyError as error:
            if store.damage.is_why(error):
                raise store.damage.in_words(error) from error
            reason = store.place.engine.unwritable(error) or type(error).__name__
            raise LedgerUnavailable(f"the ledger cannot be read: {reason}") from error

    def _of(self, store: Store) -> sqlalchemy.Engine:
        with self._connecting:
            if self._connections is None:
                self._connections = store.place.readers(_THREADS)
            return self._connections


def _rows_of(connection: Connection) -> Rows:
    from cortexd.ledger.engines.driver import rows_of

    return rows_of(connection)
