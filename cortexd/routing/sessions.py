"""Sticky sessions: who answered a caller's session last."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from cortexd.domain.targets import Target

_KEPT = 10_000
_KEPT_S = 3600.0


class Sessions:
    """Remembers who answered each (uid, session) for an hour after its last answer; the longest unused go first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[int, str], tuple[Target, float]] = OrderedDict()

    def target(self, uid: int, session: str | None) -> Target | None:
        if session is None:
            return None
        target, until = self._known.get((uid, session), (None, 0.0))
        return target if until > self._clock() else None

    def forget(self, uid: int) -> None:
        """That user's sessions have ended."""
        for key in [key for key in self._known if key[0] == uid]:
            del self._known[key]

    def answered(self, uid: int, session: str | None, target: Target) -> None:
        """`target` has answered a request of this session."""
        if session is None:
            return
        self._known[uid, session] = (target, self._clock() + _KEPT_S)
        self._known.move_to_end((uid, session))
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
