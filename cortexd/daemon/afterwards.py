"""What is done once callers have their answers: those are waited for, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cortexd.requests.internal_errors import internal_error


class Afterwards:
    """Work for the loop's next turn, in its order; what one piece fails at keeps no other from being done."""

    def __init__(self) -> None:
        self._due: list[Callable[[], None]] = []

    def add(self, work: Callable[[], None]) -> None:
        if not self._due:
            asyncio.get_running_loop().call_soon(self._run)
        self._due.append(work)

    def _run(self) -> None:
        due, self._due = self._due, []
        for work in due:
            try:
                work()
            except Exception:  # noqa: BLE001 - a fault of ours, and nobody waits who could be told
                internal_error("after an answer")
