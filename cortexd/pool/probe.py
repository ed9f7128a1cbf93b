"""A look at an endpoint that was left alone, before a caller's request goes there: its list of models, which costs
nothing. Any answer shows that it is there, but one that says it is busy, loads or is broken.

Looks are made while calls come, and never by themselves: a daemon that nobody asks stays asleep.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from cortexd.errors import ProviderError
from cortexd.pool.replica import Replica

_WITHIN_S = 2.0
_BUSY = 429
_BROKEN = 500


class Probes:
    """The looks under way. `on_return` is called once an endpoint is there again."""

    def __init__(self, on_return: Callable[[], None]) -> None:
        self._on_return = on_return
        self._tasks: set[asyncio.Task[bool]] = set()

    def begin(self, replica: Replica) -> None:
        """Look at the endpoint if its pause is over."""
        if replica.health.begins_look(time.monotonic()):
            task = asyncio.create_task(_answers(replica))
            self._tasks.add(task)
            task.add_done_callback(partial(self._looked, replica))

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _looked(self, replica: Replica, task: asyncio.Task[bool]) -> None:
        """Also where the look was cancelled before it began."""
        self._tasks.discard(task)
        failed = task.cancelled() or task.exception() is not None
        found = not failed and task.result()
        replica.health.looked(time.monotonic(), alive=found)
        if found:
            self._on_return()


async def _answers(replica: Replica) -> bool:
    try:
        async with asyncio.timeout(_WITHIN_S):
            await replica.ask_models()
    except TimeoutError:
        return False
    except ProviderError as error:
        return error.status is not None and error.status != _BUSY and error.status < _BROKEN
    return True
