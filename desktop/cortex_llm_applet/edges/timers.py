"""Timers of the main loop, and things that are drawn at their own pace."""

from __future__ import annotations

import time
from collections.abc import Callable

from gi.repository import GLib

from cortex_llm_applet.logic.pacing import Pacer


class Timer:
    """One call after a while, or none."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._source = 0

    def set(self, seconds: float | None) -> None:
        """None: not at all."""
        if self._source:
            GLib.source_remove(self._source)
            self._source = 0
        if seconds is not None:
            self._source = GLib.timeout_add(round(seconds * 1000), self._rang)

    def _rang(self) -> bool:
        self._source = 0
        self._ring()
        return bool(GLib.SOURCE_REMOVE)


class Surface:
    """Something that is drawn at its own pace; `draw` says whether it told anybody of a change."""

    def __init__(self, draw: Callable[[], bool]) -> None:
        self._draw = draw
        self._pacer = Pacer()
        self._timer = Timer(self.draw)

    def changed(self) -> None:
        delay_s = self._pacer.wanted(time.monotonic())
        if delay_s is not None:
            self._timer.set(delay_s)

    def draw(self) -> None:
        told = self._draw()
        self._pacer.drew(time.monotonic(), told=told)
