"""Calls that wait for a place at an endpoint, the first come first; whoever can take no free place is passed over."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cortexd.domain.messages import Call
from cortexd.pool.replica import Replica


@dataclass(slots=True, eq=False)
class _Waiter:
    call: Call
    place: asyncio.Future[Replica]


class Waiting:
    """`place_for` gives an endpoint with room for a call, or None."""

    def __init__(self, place_for: Callable[[Call], Replica | None]) -> None:
        self._place_for = place_for
        self._waiters: deque[_Waiter] = deque()

    def __len__(self) -> int:
        return len(self._waiters)

    async def place(self, call: Call) -> Replica:
        """An endpoint, with the place held."""
        waiter = _Waiter(call, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            return await waiter.place
        except asyncio.CancelledError:
            if waiter.place.done() and not waiter.place.cancelled() and waiter.place.exception() is None:
                waiter.place.result().let_go()  # it came at the same moment
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def serve(self) -> None:
        """Give the places that are free to those who wait."""
        nothing_for: set[tuple[str, bool]] = set()
        for waiter in tuple(self._waiters):
            left = waiter.place.cancelled()  # in this very moment, before its own task has heard of it
            model, local_only = waiter.call.model, waiter.call.local_only
            if left or (model, local_only) in nothing_for or (model, False) in nothing_for:
                continue
            replica = self._place_for(waiter.call)
            if replica is None:
                nothing_for.add((model, local_only))
                continue
            replica.held += 1
            self._waiters.remove(waiter)
            waiter.place.set_result(replica)

    def end(self, error: Callable[[], Exception]) -> None:
        while self._waiters:
            place = self._waiters.popleft().place
            if not place.done():
                place.set_exception(error())
