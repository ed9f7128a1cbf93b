"""The daemon's event loop: asyncio's own, which asks the kernel less often."""

from __future__ import annotations

import asyncio
import selectors
from selectors import SelectorKey

_MOST_PASSED = 3  # turns of the loop: whatever there is to do, sockets have their turn


def new_loop() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop(_Selector())


class _Selector(selectors.EpollSelector):
    """Where there is something to do already the loop asks for what is ready all the same, at each of its turns, of
    which a call has ten. Each time the thread gives its lock away, and waits for it where the ledger's writer runs."""

    _passed = 0

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is not None and timeout <= 0 and self._passed < _MOST_PASSED:
            self._passed += 1
            return []
        self._passed = 0
        return super().select(timeout)
