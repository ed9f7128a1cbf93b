"""How many requests one user may begin in a minute: exactly so many in any 60 seconds, not in each clock minute.

And how many may cost nothing: what money does not bound would fill the ledger.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from cortexd.errors import RateLimited

_WINDOW_NS = 60 * 1_000_000_000
_NS_PER_MS = 1_000_000
_FREE_AT_ONCE_NS = 10 * _WINDOW_NS


class RequestRate:
    """When each user's last requests began, one entry a request; a user without any for a minute is forgotten."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._begun: OrderedDict[int, deque[int]] = OrderedDict()  # the users in the order of their last request

    def count(self, uid: int, per_minute: int | None) -> None:
        """Count one request of `uid`. Raises RateLimited, and counts nothing, where it is above `per_minute`.

        `retry_after_ms` is when the next one would be taken, to the millisecond.
        """
        now = self._clock_ns()
        self._forget_idle(now)
        if per_minute is None:
            return
        begun = self._begun.setdefault(uid, deque())
        if len(begun) >= per_minute and (wait_ns := begun[-per_minute] + _WINDOW_NS - now) > 0:
            wait_ms = -(-wait_ns // _NS_PER_MS)
            raise RateLimited(
                f"You started {per_minute} requests in the last minute, your limit "
                f"(limits.max_requests_per_minute_per_user).",
                retry_after_ms=wait_ms,
            )
        begun.append(now)
        while len(begun) > per_minute:  # as many as a later request is compared with; what goes is over a minute old
            begun.popleft()
        self._begun.move_to_end(uid)

    @property
    def users(self) -> int:
        """How many are remembered."""
        return len(self._begun)

    def _forget_idle(self, now: int) -> None:
        while self._begun:
            uid, begun = next(iter(self._begun.items()))
            if begun[-1] + _WINDOW_NS > now:
                return
            del self._begun[uid]


class MinuteRate:
    """`per_minute` for good, and ten minutes' worth at once. A user is one number: when all of his would have been
    taken at that pace."""

    words = ""
    """What is refused, with the number a minute as %d."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._paid_off: OrderedDict[int, int] = OrderedDict()

    def check(self, uid: int, per_minute: int) -> None:
        """Raises RateLimited, with the wait, where `uid` has had more than that; 0 is for no limit."""
        if not per_minute:
            return
        with_this_one = max(0, self._paid_off.get(uid, 0) - self._clock_ns()) + _WINDOW_NS // per_minute
        if (wait_ns := with_this_one - _FREE_AT_ONCE_NS) > 0:
            raise RateLimited(
                self.words % per_minute,
                retry_after_ms=-(-wait_ns // _NS_PER_MS),
            )

    def count(self, uid: int, per_minute: int) -> None:
        """Count one that has ended."""
        now = self._clock_ns()
        self._forget_idle(now)
        if per_minute:
            self._paid_off[uid] = max(now, self._paid_off.get(uid, 0)) + _WINDOW_NS // per_minute
            self._paid_off.move_to_end(uid)

    @property
    def users(self) -> int:
        """How many are remembered."""
        return len(self._paid_off)

    def _forget_idle(self, now: int) -> None:
        while self._paid_off and next(iter(self._paid_off.values())) <= now:
            self._paid_off.popitem(last=False)


class FreeRate(MinuteRate):
    """Requests that cost nothing, refused ones too. Only its end shows that a request was free, so what is under way by
    then comes on top."""

    words = (
        "Of late more than %d of your requests a minute cost nothing, your limit "
        "(limits.max_free_requests_per_minute_per_user)."
    )


class OutcomeRate(MinuteRate):
    """Reports of outcomes: each is a write of the ledger."""

    words = "Of late you reported more than %d outcomes a minute, your limit (limits.max_outcomes_per_minute_per_user)."

    def take(self, uid: int, per_minute: int) -> None:
        """Count one. Raises RateLimited, and counts nothing, as `check` does."""
        self.check(uid, per_minute)
        self.count(uid, per_minute)
