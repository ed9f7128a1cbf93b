"""The caps that users set on their own spending: further limits, so that they can only make it stricter."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from cortexd.domain.own_cap import AtLimit, Extra, OwnCap
from cortexd.domain.safe_values import INT64_MAX
from cortexd.errors import InvalidArgument
from cortexd.ledger import OWN, PAUSE, BudgetState, Ledger, Limit, Period
from cortexd.validation import OwnCapWish

_NONE = OwnCap()


class OwnCaps:
    """`known`: by uid. What is changed is changed in the ledger first."""

    def __init__(self, ledger: Ledger, known: Mapping[int, OwnCap]) -> None:
        self._ledger = ledger
        self._known = dict(known)
        self._setting = asyncio.Lock()  # two at once would forget each other's amounts

    def of(self, uid: int) -> OwnCap:
        return self._known.get(uid, _NONE)

    def limits(self, uid: int) -> tuple[Limit, ...]:
        """What `uid` has set, as it holds now."""
        cap = self._known.get(uid)
        if cap is None:
            return ()
        now, mine = datetime.now().astimezone(), frozenset((uid,))
        day, month = cap.amounts(_day(now))
        pause = (Limit(PAUSE, "", Period.DAY, 0, mine),) if cap.paused(now) else ()
        amounts = ((Period.DAY, day), (Period.MONTH, month))
        return (*pause, *(Limit(OWN, "", period, nano, mine) for period, nano in amounts if nano is not None))

    async def standing(self, uid: int) -> list[BudgetState]:
        """Where those stand."""
        return await self._ledger.budgets(self.limits(uid), uid)

    async def set(self, uid: int, wish: OwnCapWish) -> None:
        """Raises InvalidArgument, LedgerUnavailable."""
        async with self._setting:
            await self._look()
            await self._keep(uid, _NONE if wish.remove else _wished(self.of(uid), wish))
        if wish.more_nano is not None:
            await self.allow(uid, wish.more_nano)

    async def allow(self, uid: int, more_nano: int) -> None:
        """From now on `more_nano` may be spent today, whatever is spent and reserved."""
        async with self._setting:
            await self._look()
            states = {state.limit.period: state for state in await self.standing(uid) if state.limit.scope == OWN}
            amounts = {
                period: min(state.spent_nano + state.reserved_nano + more_nano, INT64_MAX)
                for period, state in states.items()
            }
            day = _day(datetime.now().astimezone())
            await self._keep(uid, self.of(uid).raised(day, amounts.get(Period.DAY, 0), amounts.get(Period.MONTH, 0)))

    async def refresh(self) -> frozenset[int]:
        """Take what was set on other machines; whose cap is another one now."""
        async with self._setting:
            before = self._known
            await self._look()
        known = self._known
        return frozenset(uid for uid in before.keys() | known.keys() if before.get(uid) != known.get(uid))

    def forget(self, uid: int) -> None:
        """It is another user's now."""
        self._known.pop(uid, None)

    async def _look(self) -> None:
        """Another machine may have set the amount that this one leaves as it is."""
        if self._ledger.fleet.shared:
            self._known = dict(await self._ledger.own_caps())

    async def _keep(self, uid: int, cap: OwnCap) -> None:
        await self._ledger.set_own_cap(uid, None if cap.empty else cap)
        if cap.empty:
            self._known.pop(uid, None)
        else:
            self._known[uid] = cap


def _wished(cap: OwnCap, wish: OwnCapWish) -> OwnCap:
    capped = replace(
        cap,
        day_nano=cap.day_nano if wish.day_nano is None else wish.day_nano,
        month_nano=cap.month_nano if wish.month_nano is None else wish.month_nano,
        at_limit=wish.at_limit or cap.at_limit,
        day_extra=cap.day_extra if wish.day_nano is None else Extra(),  # which was on top of another amount
        month_extra=cap.month_extra if wish.month_nano is None else Extra(),
    )
    if capped.day_nano is None and capped.month_nano is None:
        for key, value in (("at_limit", wish.at_limit), ("more_usd", wish.more_nano)):
            if value is not None:
                words = f"budget.{key}: you have no cap of your own; give day_usd or month_usd too"
                raise InvalidArgument(words, cause="no_cap")
    if wish.pause_s is None:
        return capped
    until = datetime.now().astimezone() + timedelta(seconds=wish.pause_s)
    return replace(capped, paused_until=until if wish.pause_s else None)


def downgrades(cap: OwnCap, limit: Limit) -> bool:
    """Whether what has no room under a limit that its user has set goes to a cheaper one; in a pause to a free one."""
    return limit.scope == PAUSE or cap.at_limit is AtLimit.DOWNGRADE


def _day(now: datetime) -> str:
    return now.date().isoformat()
