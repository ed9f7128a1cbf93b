"""Endpoints that take calls and say nothing: found by how long a first token usually takes in this pool.

A call that waits ten times as long as at most endpoints, and two seconds at least, where nothing at all was heard of
its own endpoint meanwhile, shows that this one hangs; without experience twenty seconds do. The endpoint gets nothing
more, and the calls that wait there are given up, to be asked again elsewhere. The trial call of an endpoint that was
left alone has less patience. What a first token takes grows with the prompt.

Answers that do not come as a stream are silent until they are whole: nothing is concluded from that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from cortexd.domain.messages import Call
from cortexd.pool.replica import Flight, Replica, size_of

_LEAST_S, _UNKNOWN_S = 2.0, 20.0
_TIMES, _TIMES_ON_TRIAL = 10.0, 4.0


def patience_s(call: Call, replicas: Iterable[Replica], *, on_trial: bool) -> float:
    """How long the call may wait before its endpoint hangs, by what is usual at the pool's `replicas`."""
    known = sorted(item.first_token_s for item in replicas if item.first_token_s is not None)
    if not known:
        return _UNKNOWN_S
    usual = known[(len(known) - 1) // 2] * size_of(call)
    return max(_LEAST_S, (_TIMES_ON_TRIAL if on_trial else _TIMES) * usual)


class Watch:
    """Over one flight, from its sending to its end. `hangs` hears once that its replica does; where it says that
    nothing can be done, it is asked again later."""

    def __init__(self, replica: Replica, flight: Flight, patience_s: float, hangs: Callable[[], bool]) -> None:
        self._replica, self._flight = replica, flight
        self._patience_s, self._hangs = patience_s, hangs
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(patience_s, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        flight = self._flight
        if flight.moved or flight.heard_at is not None:
            return
        left = self._patience_s - self._silent_s()
        if left <= 0 and not self._hangs():
            left = self._patience_s
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)

    def _silent_s(self) -> float:
        """How long nothing was heard of the endpoint, for which it had this call to answer."""
        if not self._replica.provider.ready or not self._flight.listener.streamed:
            return 0.0
        others = (other.heard_at for other in self._replica.flights)
        heard = max((at for at in others if at is not None), default=float("-inf"))
        return time.monotonic() - max(self._flight.began, self._replica.heard_at, heard)
