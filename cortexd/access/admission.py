"""Who is let in, and when: a bounded number of requests under way, and a bounded queue in which users take turns.

A user has one line, first come first served. The round holds the users whose turn it can be: those that wait and
have fewer than `max_active_requests_per_user` under way. Each place that becomes free goes to the user at its
front, who then stands at its end. So while somebody waits and may have a place, no other user gets two. A full queue
is shared alike: who has less in it than another has still finds room, and the other's latest request is refused.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cortexd.access.rate import FreeRate, RequestRate
from cortexd.config.settings import LimitSettings
from cortexd.errors import RateLimited

_RETRY_AFTER_MS = 1000

_Waiter = asyncio.Future[None]


class Place:
    """One place of `Admission`, held until `free`, in whichever task."""

    __slots__ = ("_admission", "_uid")

    def __init__(self, admission: Admission, uid: int) -> None:
        self._admission: Admission | None = admission
        self._uid = uid

    def free(self) -> None:
        """Give the place back, to whoever's turn it is. Again is harmless."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission._leave(self._uid)


class Admission:
    """Places for requests, and the queue before them. Not thread-safe: it lives on the event loop.

    Between its methods the round is empty or the machine full: a free place never waits for anybody.
    """

    def __init__(
        self, limits: LimitSettings, rate: RequestRate | None = None, free_rate: FreeRate | None = None
    ) -> None:
        self._limits = limits
        self._rate = RequestRate() if rate is None else rate
        self._free_rate = FreeRate() if free_rate is None else free_rate
        self._active: dict[int, int] = {}
        self._total = 0
        self._lines: dict[int, OrderedDict[_Waiter, None]] = {}
        self._waiting = 0
        self._round: OrderedDict[int, None] = OrderedDict()
        self._last = -1  # who was let in last

    @property
    def limits(self) -> LimitSettings:
        return self._limits

    @limits.setter
    def limits(self, limits: LimitSettings) -> None:
        """Take other limits. Who is in or waits already stays, also above them; who may come in now does."""
        self._limits = limits
        for uid in self._lines:
            if not self._may_have_another(uid):
                self._round.pop(uid, None)
            elif uid not in self._round:
                self._line_up(uid)
        self._hand_out()

    def active(self, uid: int) -> int:
        """Places that `uid` holds."""
        return self._active.get(uid, 0)

    def queued(self, uid: int) -> int:
        """Requests of `uid` that wait."""
        return len(self._lines.get(uid, ()))

    @property
    def waiting(self) -> int:
        """Requests of all users that wait."""
        return self._waiting

    async def enter(self, uid: int, within_s: float | None = None) -> Place:
        """Wait for a place for `uid`, as long as the caller lets it; at once, without a pause, where one is free.

        Raises RateLimited where the queue is full or `uid` has begun too many requests within a minute, or had too many
        that cost nothing; TimeoutError where none became free in time.
        """
        self._free_rate.check(uid, self._limits.max_free_requests_per_minute_per_user)
        free = self._total < self._limits.max_active_requests and self._may_have_another(uid)
        if not free:
            self._refuse_when_full(uid)
        self._rate.count(uid, self._limits.max_requests_per_minute_per_user)
        if free:
            self._let_in(uid)
        else:
            if self._waiting >= self._limits.max_queued_requests:
                self._push_out(self._longest())
            async with asyncio.timeout(within_s):
                await self._wait(uid)
        return Place(self, uid)

    def cost_nothing(self, uid: int) -> None:
        """A request of `uid` that was let in has ended without a cost, or was refused."""
        self._free_rate.count(uid, self._limits.max_free_requests_per_minute_per_user)

    @asynccontextmanager
    async def slot(self, uid: int) -> AsyncIterator[None]:
        """Hold a place that `enter` gave."""
        place = await self.enter(uid)
        try:
            yield
        finally:
            place.free()

    def _may_have_another(self, uid: int) -> bool:
        return self._active.get(uid, 0) < self._limits.max_active_requests_per_user

    def _refuse_when_full(self, uid: int) -> None:
        own, limits = self.queued(uid), self._limits
        if own >= limits.max_queued_requests_per_user:
            raise RateLimited(
                f"You have {own} requests waiting, your limit (limits.max_queued_requests_per_user). "
                f"Wait until some are answered.",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        if self._waiting >= limits.max_queued_requests and self.queued(self._longest()) <= own + 1:
            raise self._full()

    def _full(self) -> RateLimited:
        return RateLimited(
            f"{self._waiting} requests of all users are waiting, the machine's limit (limits.max_queued_requests). "
            f"Try again later.",
            retry_after_ms=_RETRY_AFTER_MS,
        )

    def _longest(self) -> int:
        """The user with the most requests waiting."""
        return max(self._lines, key=self.queued)

    def _push_out(self, uid: int) -> None:
        """Refuse the latest of `uid`'s requests that wait."""
        line = self._lines[uid]
        full = self._full()
        waiter, _ = line.popitem()
        self._shortened(uid, line)
        if not waiter.done():
            waiter.set_exception(full)

    def _let_in(self, uid: int) -> None:
        self._active[uid] = self._active.get(uid, 0) + 1
        self._total += 1
        self._last = uid

    def _leave(self, uid: int) -> None:
        self._total -= 1
        self._active[uid] -= 1
        if not self._active[uid]:
            del self._active[uid]
        if uid in self._lines and uid not in self._round and self._may_have_another(uid):
            self._line_up(uid)
        self._hand_out()

    async def _wait(self, uid: int) -> None:
        """Return with the place counted for `uid`."""
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        self._lines.setdefault(uid, OrderedDict())[waiter] = None
        self._waiting += 1
        if uid not in self._round and self._may_have_another(uid):
            self._line_up(uid)
        try:
            await waiter
        except BaseException:
            self._give_up(uid, waiter)
            raise

    def _give_up(self, uid: int, waiter: _Waiter) -> None:
        """The waiter's task has ended: before its turn, pushed out, or as it was handed a place, which goes on then."""
        line = self._lines.get(uid)
        if line is not None and waiter in line:
            del line[waiter]
            self._shortened(uid, line)
        elif not waiter.cancelled() and waiter.exception() is None:
            self._leave(uid)

    def _line_up(self, uid: int) -> None:
        """Put `uid` at the end of the round, but before the user that was let in last: that one has had its turn."""
        self._round[uid] = None
        if self._last in self._round:
            self._round.move_to_end(self._last)

    def _hand_out(self) -> None:
        """Let in whose turn it is while there are places. A place is counted as it is given, not as it is taken up."""
        while self._round and self._total < self._limits.max_active_requests:
            uid, _ = self._round.popitem(last=False)
            waiter = self._next_in_line(uid)
            if waiter is None:
                continue
            waiter.set_result(None)
            self._let_in(uid)
            if uid in self._lines and self._may_have_another(uid):
                self._line_up(uid)

    def _next_in_line(self, uid: int) -> _Waiter | None:
        """Take the first of `uid`'s waiters that was not cancelled out of the line."""
        line = self._lines[uid]
        while line:
            waiter, _ = line.popitem(last=False)
            self._shortened(uid, line)
            if not waiter.done():
                return waiter
        return None

    def _shortened(self, uid: int, line: OrderedDict[_Waiter, None]) -> None:
        self._waiting -= 1
        if not line:
            del self._lines[uid]
            self._round.pop(uid, None)
