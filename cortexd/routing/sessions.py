"""Sticky sessions: who answered a caller's session last, and which of them hold a secret."""

from __future__ import annotations

import time
from collections.abc import Callable

from cortexd.domain.newest import Latest
from cortexd.domain.targets import Target

_KEPT = 10_000
_KEPT_S = 3600.0
_PINNED_PER_USER = 1000


class Sessions:
    """Remembers who answered each (uid, session) for an hour after its last answer; the longest unused go first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: Latest[tuple[int, str], tuple[Target, float]] = Latest(_KEPT)
        self._pinned: dict[int, Latest[str, float]] = {}

    def target(self, uid: int, session: str | None) -> Target | None:
        if session is None:
            return None
        target, until = self._known.get((uid, session), (None, 0.0))
        return target if until > self._clock() else None

    def forget(self, uid: int) -> None:
        """That user's sessions have ended."""
        self._pinned.pop(uid, None)
        for key in [key for key in self._known if key[0] == uid]:
            del self._known[key]

    def pin(self, uid: int, session: str | None) -> None:
        """Only local models may hear of this session from now on, until an hour after its last request."""
        if session is None:
            return
        own = self._pinned.setdefault(uid, Latest(_PINNED_PER_USER))
        own.put(session, self._clock() + _KEPT_S)

    def pinned(self, uid: int, session: str | None) -> bool:
        own = self._pinned.get(uid)
        if session is None or own is None:
            return False
        now = self._clock()
        while own and next(iter(own.values())) <= now:  # in the order of their ends
            own.popitem(last=False)
        if not own:
            del self._pinned[uid]
        return session in own

    def answered(self, uid: int, session: str | None, target: Target) -> None:
        """`target` has answered a request of this session."""
        if session is None:
            return
        self._known.put((uid, session), (target, self._clock() + _KEPT_S))
