"""Upkeep of a ledger that several daemons write, on a connection and in a thread of its own: no call waits for it.

One machine is at it at a time, and the others leave it to that one: waiting, each would keep a connection of a pooler.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from cortexd.errors import LedgerUnavailable
from cortexd.ledger.engines import Place, Sharing

_UPKEEP = "upkeep"
_TRIES = 4
T = TypeVar("T")


@asynccontextmanager
async def beside(place: Place) -> AsyncIterator[Callable[..., Any]]:
    """Gives what runs a function of a connection in a transaction of its own, as `pruner.prune` wants it; None where
    another machine is at it. Raises LedgerUnavailable."""
    sharing = place.engine.sharing
    assert sharing is not None
    thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-upkeep")
    loop = asyncio.get_running_loop()
    writer = _Writer(place, sharing)
    try:
        yield lambda apply, held: loop.run_in_executor(thread, writer.run, apply, held)
    finally:
        thread.submit(writer.close)  # after what runs still, for which nobody waits any more
        thread.shutdown(wait=False)


class _Writer:
    """In one thread."""

    def __init__(self, place: Place, sharing: Sharing) -> None:
        self._place = place
        self._sharing = sharing
        self._connection: Connection | None = None

    def run(self, apply: Callable[[Connection], T], held: Callable[[float], None]) -> T | None:
        for left in reversed(range(_TRIES)):
            try:
                return self._once(apply, held)
            except SQLAlchemyError as error:
                self.close()
                if not left or not self._sharing.again(error):
                    reason = self._place.engine.unwritable(error) or type(error).__name__
                    raise LedgerUnavailable(f"the ledger cannot be written: {reason}") from error
        raise AssertionError

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _once(self, apply: Callable[[Connection], T], held: Callable[[float], None]) -> T | None:
        if self._connection is None:
            self._connection = self._place.writer().connect()
        with self._connection.begin():
            self._sharing.enter(self._connection, alone=False)
            if not self._place.engine.first_to(self._connection, _UPKEEP):
                return None
            start = time.monotonic()
            result = apply(self._connection)
        held(time.monotonic() - start)
        return result
