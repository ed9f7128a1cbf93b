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
T = TypeVar("T")
Run = Callable[[Callable[[Connection], T]], Awaitable[T]]


async def prune(read: Run[Any], write: Run[Any], first_kept: date) -> Pruned:
    """Turn what is older than `first_kept` into daily sums, then give the disk back what that has freed.

    `read` and `write` run a function of a connection: beside the writer, and in one of its transactions.
    """
    requests, days = 0, set[str]()
    while chunk := await _step(read, write, first_kept):
        requests += len(chunk.old)
        days |= chunk.days
    await give_back(write)
    return Pruned(requests, len(days))


async def give_back(write: Run[Any]) -> None:
    """Shrink the file, step by step, where much of it is free."""
    more = True
    while more:
        async with _pause():
            more = await write(lambda connection: engine_of(connection).shrink(connection))


async def _step(read: Run[Any], write: Run[Any], first_kept: date) -> retention.Chunk | None:
    async with _pause():
        chunk: retention.Chunk | None = await read(lambda connection: retention.read_chunk(connection, first_kept))
        if chunk is not None:
            await write(lambda connection: retention.prune_chunk(connection, chunk))
        return chunk


@asynccontextmanager
async def _pause() -> AsyncIterator[None]:
    start = time.monotonic()
    yield
    await asyncio.sleep(PAUSE * (time.monotonic() - start))
