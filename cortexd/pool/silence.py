"""Endpoints that take calls and say nothing: found by how long a first token usually takes in this pool.

A call that waits ten times as long, and two seconds at least, at an endpoint of which nothing at all was heard
meanwhile, shows that it hangs; where there is no experience, twenty seconds do. The endpoint gets nothing more, and
the calls that wait there are given up, to be asked again elsewhere. What a first token takes grows with the prompt.

Answers that do not come as a stream are silent until they are whole: nothing is concluded from that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from cortexd.domain.messages import Call
from cortexd.pool.replica import Flight, Replica

_TIMES, _LEAST_S, _UNKNOWN_S = 10.0, 2.0, 20.0
_KEPT_PER_ANSWER = 0.9
_USUAL_BYTES = 8192


class FirstTokens:
    """How long the first token takes in this pool, of late and for a prompt's size."""

    def __init__(self) -> None:
        self._mean_s: float | None = None

    def noted(self, flight: Flight) -> None:
        if flight.listener.first_at is None or not (flight.listener.streamed and flight.telling):
            return
        took = (flight.listener.first_at - flight.began) / _size(flight.call)
        mean = self._mean_s
        self._mean_s = took if mean is None else mean * _KEPT_PER_ANSWER + took * (1 - _KEPT_PER_ANSWER)

    def patience_s(self, call: Call) -> float:
        """How long a call may wait before its endpoint hangs."""
        return _UNKNOWN_S if self._mean_s is None else max(_LEAST_S, _TIMES * self._mean_s * _size(call))


def _size(call: Call) -> float:
    """Of its prompt; 1 for a short one."""
    return 1 + sum(len(message.text()) for message in call.messages) / _USUAL_BYTES


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
