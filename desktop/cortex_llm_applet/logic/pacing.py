"""How often a panel is told of one thing: at once after a quiet time, at most four times a second, and of the last."""

from __future__ import annotations

REDRAW_S = 0.25


class Pacer:
    """Says when to draw. Times are of one monotonic clock, in seconds."""

    def __init__(self, interval_s: float = REDRAW_S) -> None:
        self._interval_s = interval_s
        self._not_before = 0.0
        self._waiting = False

    def wanted(self, now: float) -> float | None:
        """Something changed: in how many seconds to draw, or None where a drawing is on its way already."""
        if self._waiting:
            return None
        self._waiting = True
        return max(0.0, self._not_before - now)

    def drew(self, now: float, *, told: bool) -> None:
        """`told`: the panel heard of it. What turned out to be no change holds up no later one."""
        self._waiting = False
        if told:
            self._not_before = now + self._interval_s
