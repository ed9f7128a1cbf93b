"""Leaving when nobody needs the daemon: the bus starts it again for the next caller."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

_SHORTEST_S = 0.25  # cortex-llm-router.service allows four starts a second
_LOOK_S = 30.0  # at the longest: a reload may have changed the setting


class Idleness:
    """Since when nobody has wanted anything.

    `idle_exit_s` gives the setting of now, 0 for never; `busy` tells whether anybody waits or watches. What is over in
    a moment is told by `touch`.
    """

    def __init__(self, idle_exit_s: Callable[[], float], busy: Callable[[], bool]) -> None:
        self._idle_exit_s = idle_exit_s
        self._busy = busy
        self._touched = time.monotonic()

    def touch(self) -> None:
        self._touched = time.monotonic()

    async def wait(self) -> float:
        """Return once it has lasted as long as the setting wants, and for how long that was, in seconds."""
        while True:
            wanted_s = self._idle_exit_s()
            if self._busy() or not wanted_s:
                self.touch()
            wanted_s = max(wanted_s, _SHORTEST_S) if wanted_s else math.inf
            left_s = self._touched + wanted_s - time.monotonic()
            if left_s <= 0:
                return wanted_s
            await asyncio.sleep(min(left_s, wanted_s / 10, _LOOK_S))
