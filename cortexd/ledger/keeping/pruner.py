"""Pruning beside the calls: small steps with pauses, so that no call waits longer than for one step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import Any, TypeVar

from sqlalchemy import Connection

from cortexd.ledger.engines import engine_of
from cortexd.ledger.keeping import retention
from cortexd.ledger.records import Pruned

PAUSE = 2.0  # as long as a step took, so many times; the machine has other things to do
HOLD_S = 0.003  # for which a step shall keep calls from writing
HOLD_BESIDE_S = 0.01  # where it keeps none, and may keep one that has to be alone
_FIRST, _FEWEST = 10, 5  # requests of a step
FEWEST_BESIDE = 20  # where most of what a step takes is the way to the database and back, however few they are
_MEMORY = 0.8  # of what a request took in earlier steps
T = TypeVar("T")
Read = Callable[[Callable[[Connection], T]], Awaitable[T]]
Write = Callable[[Callable[[Connection], T], Callable[[float], None]], Awaitable[T]]


class Pace:
    """How many requests a step takes: as many as fit into `hold_s` by what the last ones took on this machine, now."""

    def __init__(self, hold_s: float = HOLD_S, fewest: int = _FEWEST) -> None:
        self.size = max(_FIRST, fewest)
        self._hold_s = hold_s
        self._fewest = fewest
        self._each_s = 0.0

    def held(self, seconds: float) -> None:
        """So long took a step of `size`."""
        each = seconds / self.size
        self._each_s = _MEMORY * self._each_s + (1 - _MEMORY) * each if self._each_s else each
        self.size = min(max(int(self._hold_s / self._each_s), self._fewest), retention.MAX_CHUNK)


async def prune(read: Read[Any], write: Write[Any], first_kept: date, pace: Pace) -> Pruned:
    """Turn what is older than `first_kept` into daily sums, then give the disk back what that has freed.

    `read` and `write` run a function of a connection: beside the writer, and in a transaction of its own, of which the
    second function is told for how many seconds it kept others from writing.
    """
    requests, days = 0, set[str]()
    while chunk := await _step(read, write, first_kept, pace):
        requests += len(chunk.old)
        days |= chunk.days
    await give_back(write)
    return Pruned(requests, len(days))


async def give_back(write: Write[Any]) -> None:
    """Shrink the file, step by step, where much of it is free."""
    more = True
    while more:
        async with _pause():
            more = await write(lambda connection: engine_of(connection).shrink(connection, HOLD_S), lambda _: None)


async def _step(read: Read[Any], write: Write[Any], first_kept: date, pace: Pace) -> retention.Chunk | None:
    async with _pause():
        size = pace.size
        chunk: retention.Chunk | None = await read(
            lambda connection: retention.read_chunk(connection, first_kept, size)
        )
        if chunk is not None:
            return await _pruned(write, chunk, first_kept, pace)
        return None


async def _pruned(write: Write[Any], chunk: retention.Chunk, first_kept: date, pace: Pace) -> retention.Chunk | None:
    done: retention.Chunk | None = await write(
        lambda connection: retention.prune_read(connection, chunk, first_kept), pace.held
    )
    return done


@asynccontextmanager
async def _pause() -> AsyncIterator[None]:
    start = time.monotonic()
    yield
    await asyncio.sleep(PAUSE * (time.monotonic() - start))
