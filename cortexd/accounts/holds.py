"""Requests that wait for their user's word, because his own cap has no room for them. One question per user at a time.

Nothing of a held request is reserved, and nothing is sent.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cortexd.accounts.limits import own_cap_exceeded
from cortexd.accounts.own_caps import OwnCaps
from cortexd.domain.own_cap import AtLimit, HoldAnswer
from cortexd.errors import CortexError, RequestNotFound, ShuttingDown
from cortexd.ledger import OWN, PAUSE, Limit, OverBudget, Period
from cortexd.validation import OwnCapWish

UNANSWERED, GONE = "none", "gone"  # how a question ends without an answer: in time, or its requests ended
_LONGEST_S = 120.0
_QUIET_S = 300.0  # after a no: a program that goes on asking shall not make the computer do so
_FIRST_TOLD_S, _NEXT_TOLD_S = 0.1, 1.0
_CENT = 10_000_000
_PART = {Period.DAY: 2, Period.MONTH: 10}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that may cost `nano`, by the plan's first candidate. `app`: its label of that name, or ""."""

    request_id: str
    task_type: str
    app: str
    provider: str
    model: str
    nano: int


@dataclass(frozen=True, slots=True)
class HoldView:
    """A question as it is told to its user. `nano`: what the `requests` may cost together; `more_nano`: what one would
    allow today; `first`: the one that waits longest; `until`: when silence becomes a no."""

    uid: int
    hold_id: str
    limit: Limit
    left_nano: int
    requests: int
    nano: int
    more_nano: int
    first: Wanted
    until: datetime


@dataclass(frozen=True, slots=True)
class HoldEnd:
    """A question has ended. `answer`: a HoldAnswer, UNANSWERED or GONE."""

    uid: int
    hold_id: str
    answer: str


@dataclass(slots=True, eq=False)
class _Waiter:
    wanted: Wanted
    decided: asyncio.Future[tuple[Limit, ...] | CortexError]


@dataclass(slots=True, eq=False)
class _Hold:
    uid: int
    over: OverBudget
    until: float
    hold_id: str = field(default_factory=lambda: secrets.token_hex(8))
    waiting: dict[_Waiter, None] = field(default_factory=dict)
    told: tuple[_Waiter, ...] = ()
    telling: asyncio.TimerHandle | None = None
    answered: bool = False

    @property
    def known(self) -> tuple[_Waiter, ...]:
        """Of what was told, what still waits."""
        return tuple(waiter for waiter in self.told if waiter in self.waiting)

    @property
    def known_nano(self) -> int:
        """What that may cost together."""
        return sum(waiter.wanted.nano for waiter in self.known)


class Holds:
    """`tell` gets each question, again where further requests have joined it, and its end. Lives on the event loop."""

    def __init__(self, caps: OwnCaps, tell: Callable[[HoldView | HoldEnd], None]) -> None:
        self._caps = caps
        self._tell = tell
        self._held: dict[int, _Hold] = {}
        self._quiet: dict[int, float] = {}
        self._closed = False

    async def ask(self, uid: int, wanted: Wanted, over: OverBudget, left_s: float) -> tuple[Limit, ...]:
        """Wait for the user's word; the own limits to go on with. Raises BudgetExceeded where it is a no, or where the
        cap says to ask nobody, and ShuttingDown."""
        cap, loop = self._caps.of(uid), asyncio.get_running_loop()
        if over.state.limit.scope == PAUSE or cap.at_limit is not AtLimit.ASK:
            raise own_cap_exceeded(over, cap)
        if self._closed:
            raise _shutting_down()
        if loop.time() < self._quiet.get(uid, 0.0):
            raise own_cap_exceeded(over, cap, HoldAnswer.REFUSE)
        hold = self._held.get(uid) or self._begin(uid, over)
        waiter = _Waiter(wanted, loop.create_future())
        hold.waiting[waiter] = None
        self._tell_soon(hold)
        try:
            await asyncio.wait((waiter.decided,), timeout=min(left_s, hold.until - loop.time()))
        except asyncio.CancelledError:
            self._leave(hold, waiter, GONE)
            raise
        if not waiter.decided.done():
            self._leave(hold, waiter, UNANSWERED)
            raise own_cap_exceeded(over, cap, UNANSWERED)
        decided = waiter.decided.result()
        if isinstance(decided, CortexError):
            raise decided
        return decided

    def views(self, uid: int) -> list[HoldView]:
        """The question that is open for `uid`, if there is one that was told."""
        hold = self._held.get(uid)
        return [] if hold is None or not hold.known or hold.answered else [self._view(hold)]

    async def answer(self, uid: int, hold_id: str, answer: HoldAnswer, more_nano: int | None) -> None:
        """Let the held requests go on, or refuse them. Raises RequestNotFound where nothing of that id is held now."""
        hold = self._held.get(uid)
        if hold is None or hold.hold_id != hold_id or hold.answered:
            raise RequestNotFound("Nothing is held by that id now: it was answered, or its requests have ended.")
        if answer is HoldAnswer.REFUSE:
            self._be_quiet(uid)
            self._end(hold, answer, {}, own_cap_exceeded(hold.over, self._caps.of(uid), answer))
            return
        hold.answered = True
        try:
            granted = await self._granted(hold, answer, more_nano)
        except BaseException:
            hold.answered = False
            raise
        self._end(hold, answer, granted, self._caps.limits(uid))

    async def set_cap(self, uid: int, wish: OwnCapWish) -> None:
        """Change the user's cap: what is held tries again under it. Raises InvalidArgument."""
        await self._caps.set(uid, wish)
        self._try_again(uid)

    async def refresh_caps(self) -> None:
        """Take the caps that were changed on other machines, likewise."""
        for uid in await self._caps.refresh():
            self._try_again(uid)

    def _try_again(self, uid: int) -> None:
        self._quiet.pop(uid, None)
        if hold := self._held.get(uid):
            self._end(hold, HoldAnswer.TODAY, {}, self._caps.limits(uid))

    def forget(self, uid: int) -> None:
        """It is another user's now, who has refused nothing."""
        self._quiet.pop(uid, None)

    def close(self) -> None:
        """Nobody waits any longer."""
        self._closed = True
        for hold in list(self._held.values()):
            self._end(hold, GONE, {}, _shutting_down())

    async def _granted(
        self, hold: _Hold, answer: HoldAnswer, more_nano: int | None
    ) -> dict[_Waiter, tuple[Limit, ...]]:
        """Own limits of their own for those whose cost was told, where the answer is for them alone."""
        if answer is HoldAnswer.TODAY:
            await self._caps.allow(hold.uid, self._more(hold) if more_nano is None else more_nano)
            return {}
        told, more = hold.known, hold.known_nano
        limits = tuple(
            replace(state.limit, nano=max(state.limit.nano, state.spent_nano + state.reserved_nano + more))
            if state.limit.scope == OWN
            else state.limit
            for state in await self._caps.standing(hold.uid)
        )
        return dict.fromkeys(told, limits)

    def _begin(self, uid: int, over: OverBudget) -> _Hold:
        hold = self._held[uid] = _Hold(uid, over, asyncio.get_running_loop().time() + _LONGEST_S)
        return hold

    def _leave(self, hold: _Hold, waiter: _Waiter, why: str) -> None:
        """One request waits no longer; with the last of them the question ends."""
        hold.waiting.pop(waiter, None)
        if hold.waiting:
            return
        if why == UNANSWERED and asyncio.get_running_loop().time() >= hold.until:
            self._be_quiet(hold.uid)
        self._end(hold, why, {}, ())

    def _end(
        self,
        hold: _Hold,
        answer: str,
        granted: dict[_Waiter, tuple[Limit, ...]],
        for_others: tuple[Limit, ...] | CortexError,
    ) -> None:
        if self._held.get(hold.uid) is not hold:
            return
        del self._held[hold.uid]
        if hold.telling is not None:
            hold.telling.cancel()
        for waiter in hold.waiting:
            if not waiter.decided.done():
                waiter.decided.set_result(granted.get(waiter, for_others))
        if hold.told:
            self._tell(HoldEnd(hold.uid, hold.hold_id, answer))

    def _be_quiet(self, uid: int) -> None:
        now = asyncio.get_running_loop().time()
        self._quiet = {user: until for user, until in self._quiet.items() if until > now} | {uid: now + _QUIET_S}

    def _tell_soon(self, hold: _Hold) -> None:
        if hold.telling is None:
            wait_s = _NEXT_TOLD_S if hold.told else _FIRST_TOLD_S
            hold.telling = asyncio.get_running_loop().call_later(wait_s, self._tell_now, hold)

    def _tell_now(self, hold: _Hold) -> None:
        hold.telling = None
        if not hold.answered:
            hold.told = tuple(hold.waiting)
            self._tell(self._view(hold))

    def _view(self, hold: _Hold) -> HoldView:
        left_s = hold.until - asyncio.get_running_loop().time()
        known = hold.known
        return HoldView(
            hold.uid,
            hold.hold_id,
            hold.over.state.limit,
            hold.over.state.left_nano,
            len(known),
            hold.known_nano,
            self._more(hold),
            known[0].wanted,
            datetime.now().astimezone() + timedelta(seconds=left_s),
        )

    def _more(self, hold: _Hold) -> int:
        """A part of the cap, or what was told of where that is more; in whole cents."""
        cap, period = self._caps.of(hold.uid), hold.over.state.limit.period
        amount = (cap.day_nano if period is Period.DAY else cap.month_nano) or 0
        needed = max(amount // _PART[period], hold.known_nano)
        return -(-needed // _CENT) * _CENT


def _shutting_down() -> ShuttingDown:
    return ShuttingDown("cortexd shut down while this request waited for your word. Ask again.", retry_after_ms=1000)
