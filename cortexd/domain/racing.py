"""The quicker of two: the second begins where the first takes too long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
Work = Coroutine[Any, Any, T | None]


async def quicker(first: Work[T], after_s: float, second: Callable[[], Awaitable[Work[T] | None]]) -> T | None:
    """What the first of the two gives that gives anything, None where neither does. `second` is asked for after
    `after_s`, and may have none. What is under way at the end is cancelled, and has ended when this returns or raises.
    """
    tasks = [asyncio.create_task(first)]
    try:
        await asyncio.wait(tasks, timeout=after_s)
        if not tasks[0].done() and (other := await second()) is not None:
            tasks.append(asyncio.create_task(other))
        return await _first_of(tasks)
    finally:
        await _end(tasks)


async def _first_of(tasks: list[asyncio.Task[T | None]]) -> T | None:
    pending = set(tasks)
    while pending:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done() and (found := task.result()) is not None:
                return found
    return None


async def _end(tasks: list[asyncio.Task[T | None]]) -> None:
    """Also where the task that waits is cancelled meanwhile, however often."""
    for task in tasks:
        task.cancel()
    while pending := [task for task in tasks if not task.done()]:
        with suppress(asyncio.CancelledError):
            await asyncio.wait(pending)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # it was asked for
