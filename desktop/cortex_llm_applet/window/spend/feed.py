"""Rows of GetUsage for one query at a time, asked for again after what was heard, at most once a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from gi.repository import GLib

from cortex_llm_applet.edges.live import Live
from cortex_llm_applet.edges.timers import Timer
from cortex_llm_applet.logic.failures import Failure
from cortex_llm_applet.logic.pacing import Pacer
from cortex_llm_applet.logic.spans import Query

ASK_S = 1.0
Rows = tuple[Mapping[str, Any], ...]


class Feed:
    """`rows`: of the query that is wanted, None until they are known; `failure`: why they are not to be had.

    `changed` hears of both. `wanted` says whether anybody looks: what is due is left until somebody does.
    """

    def __init__(self, live: Live, wanted: Callable[[], bool], changed: Callable[[], None]) -> None:
        self._live, self._wanted, self._changed = live, wanted, changed
        self.rows: Rows | None = None
        self.failure: Failure | None = None
        self._query: Query | None = None
        self._pacer = Pacer(ASK_S)
        self._timer = Timer(self._ask)

    def want(self, query: Query, *, news: bool) -> None:
        """`news`: what it would give may have changed. Another query is asked for at once."""
        if query != self._query:
            self._query, self.rows, self.failure = query, None, None
            self._ask()
        elif news:
            delay_s = self._pacer.wanted(time.monotonic())
            if delay_s is not None:
                self._timer.set(delay_s)

    def _ask(self) -> None:
        self._timer.set(None)
        self._pacer.drew(time.monotonic(), told=self._wanted())
        query = self._query
        if query is None or not self._wanted():
            self._query = None
            return

        def told(rows: list[Mapping[str, Any]]) -> None:
            if query is self._query:
                self.rows, self.failure = tuple(rows), None
                self._changed()

        def failed(failure: Failure) -> None:
            if query is self._query:
                self.rows, self.failure = None, failure
                self._changed()

        self._live.ask("GetUsage", (_variants(query),), told, failed)


def _variants(query: Query) -> dict[str, GLib.Variant]:
    return {
        "since": GLib.Variant("s", query.since),
        "until": GLib.Variant("s", query.until),
        "group_by": GLib.Variant("as", query.group_by),
    }
