"""What the service knows of each user beside his requests: sums, budgets, preferences, outcomes.

A caller sees and changes what is his own; what is everybody's needs an action of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cortexd.access import Turns
from cortexd.accounts.allowances import check_allowed
from cortexd.accounts.limits import Budgets, begins_anew, severity
from cortexd.accounts.own_caps import OwnCaps
from cortexd.authority import Action, Authorizer, Caller
from cortexd.config.settings import BudgetSettings, ProviderSettings
from cortexd.domain.messages import LearnedMode, OnBreak, Secrets, Strategy
from cortexd.domain.newest import Latest
from cortexd.domain.own_cap import AtLimit, OwnCap
from cortexd.domain.targets import Target, parse_targets
from cortexd.domain.tasks import TaskType
from cortexd.errors import LedgerUnavailable
from cortexd.ledger import (
    OWN,
    BudgetState,
    Judged,
    Ledger,
    Limit,
    LimitOverride,
    Spent,
    Stats,
    UsageQuery,
    UsageRow,
)
from cortexd.routing import Allowed, Wishes
from cortexd.routing.allowed import EVERYTHING
from cortexd.validation import BudgetWish, LearningWish, parse_budget, parse_preferences, parse_usage_query

_READINGS_PER_USER = 16  # of the ledger at a time
_REPORTS_PER_USER = 1  # which then waits behind one report of each other user, and the next anew
_NO_CAPS: Mapping[int, OwnCap] = {}
_UNKNOWN = Wishes(secrets=Secrets.LOCAL, unknown=True)
_WISHES_KEPT = 4096  # users whose preferences are at hand


@dataclass(frozen=True, slots=True)
class BudgetView:
    """One limit as its caller may see it: exact with all `figures`, else as it is `seen`, and only what is left.

    `at_limit`: of the caller's own cap; `all_machines`: what everybody spends on the machines that share the ledger."""

    state: BudgetState
    severity: str
    resets_at: datetime
    figures: bool
    at_limit: AtLimit | None = None
    all_machines: bool = False


class Accounts:
    """Reads and writes beside the requests' own rows, few at a time per user."""

    def __init__(
        self,
        ledger: Ledger,
        authorizer: Authorizer,
        settings: BudgetSettings,
        overrides: Mapping[Any, LimitOverride],
        own_caps: Mapping[int, OwnCap] = _NO_CAPS,
    ) -> None:
        self._ledger = ledger
        self._authorizer = authorizer
        self._setting = asyncio.Lock()  # two at once would forget each other's amounts
        self._readings = Turns(_READINGS_PER_USER)
        self._reports = Turns(_REPORTS_PER_USER)
        self._overrides = dict(overrides)
        self.own_caps = OwnCaps(ledger, own_caps)
        self._wishes: Latest[int, Wishes] = Latest(_WISHES_KEPT)
        self._replaced = 0  # how often anybody's preferences were
        self.adopt(settings)

    def adopt(self, settings: BudgetSettings) -> None:
        """Take other limits from the configuration; those that SetBudget has set stand above them."""
        self._settings = settings
        self._budgets = Budgets(settings, self._overrides)

    @property
    def away(self) -> bool:
        """Whether the ledger that several machines share cannot be reached, or is not read yet."""
        return self._ledger.away or not self._ledger.caught_up

    @property
    def free_only(self) -> bool:
        """As the ledger's."""
        return self._ledger.free_only

    @property
    def settings_missing(self) -> int | None:
        """As the ledger's, of the fleet's settings."""
        return self._ledger.fleet.settings_missing

    @property
    def thresholds(self) -> tuple[float, ...]:
        return self._settings.thresholds

    @property
    def coarsest_step_nano(self) -> int:
        """The largest step in which users of a group's or the machine's limit learn of each other; 0: there is none."""
        return self._budgets.coarsest_step_nano

    async def may(self, caller: Caller, action: Action) -> bool:
        """Whether `caller` may, without anybody being asked for a password."""
        async with self._readings.turn(caller.uid):
            return await self._authorizer.may(caller, action)

    async def stats(self, uid: int) -> Stats:
        """That user's counters since the last reset."""
        async with self._readings.turn(uid):
            return await self._ledger.stats(uid)

    async def spent(self, uid: int) -> Spent:
        """That user's day and month so far."""
        async with self._readings.turn(uid):
            return await self._ledger.spent(uid)

    async def reset_stats(self, uid: int) -> None:
        async with self._readings.turn(uid):
            await self._ledger.reset_stats(uid)

    async def usage(self, caller: Caller, query: object) -> list[UsageRow]:
        """Sums of settled requests. Others' need view-all-usage, for which a person may be asked."""
        wish = parse_usage_query(query, datetime.now().astimezone().date())
        if wish.all_users or "uid" in wish.group_by:
            await self._authorizer.authorize(caller, Action.VIEW_ALL_USAGE)
        uid, user = (None, None) if wish.all_users else (caller.uid, caller.user)
        async with self._reports.turn(caller.uid):
            return await self._ledger.usage(
                UsageQuery(uid, wish.since, wish.until, wish.group_by, wish.label, user, wish.app)
            )

    async def judged(
        self, caller: Caller, wish: LearningWish, since: datetime, until: datetime, most: int
    ) -> list[Judged]:
        """Settled requests that the learner decided or watched. Others' need view-all-usage."""
        if wish.all_users:
            await self._authorizer.authorize(caller, Action.VIEW_ALL_USAGE)
        uid = None if wish.all_users else caller.uid
        async with self._reports.turn(caller.uid):
            return await self._ledger.judged(since, until, most, uid=uid, task_type=wish.task_type or None)

    async def limits(self, caller: Caller, app: str = "") -> tuple[Limit, ...]:
        """Every limit that binds `caller` and his program `app`: the operator's, and the caller's own."""
        budgets = await self._budgets.limits_for(caller.uid, caller.user)
        by_app = self._budgets.limits_by_app(caller.uid, app) if app else ()
        return (*budgets, *by_app, *self.own_caps.limits(caller.uid))

    async def standing_of(self, uid: int, limits: Sequence[Limit]) -> list[BudgetState]:
        """Where those limits stand, with that user's part in it."""
        async with self._readings.turn(uid):
            return await self._ledger.budgets(limits, uid)

    async def budgets(self, caller: Caller) -> list[BudgetView]:
        """Where each limit that binds `caller`, or one of his programs, stands; what others spent in steps, but for who
        may view all usage."""
        limits = (*await self.limits(caller), *self._budgets.limits_by_app(caller.uid))
        shared = any(not limit.personal for limit in limits)
        all_figures = shared and await self.may(caller, Action.VIEW_ALL_USAGE)
        now = datetime.now().astimezone()
        states = await self.standing_of(caller.uid, limits)
        cap = self.own_caps.of(caller.uid)
        return [self._view(state, now, cap, all_figures or state.limit.personal) for state in states]

    def _view(self, state: BudgetState, now: datetime, cap: OwnCap, figures: bool) -> BudgetView:
        state, limit = state if figures else state.seen, state.limit
        at_limit = cap.at_limit if limit.scope == OWN else None
        word, resets_at = severity(state, self.thresholds), begins_anew(limit, cap, now)
        all_machines = limit.scope == "machine" and self._ledger.fleet.shared
        return BudgetView(state, word, resets_at, figures, at_limit, all_machines)

    async def set_budget(self, caller: Caller, value: object) -> None:
        """Set or remove limits that stand above the configuration's."""
        async with self._setting:
            await self._set_budget(caller, parse_budget(value))

    async def refresh_limits(self) -> None:
        """Take what SetBudget has set on other machines."""
        async with self._setting:
            await self._read_overrides()
            self._budgets = Budgets(self._settings, self._overrides)

    async def refresh_wishes(self) -> None:
        """Preferences at hand may have been replaced on other machines."""
        self._replaced += 1
        self._wishes.clear()

    async def _read_overrides(self) -> None:
        if self._ledger.fleet.shared:
            self._overrides = dict(await self._ledger.budget_overrides())

    async def _set_budget(self, caller: Caller, wish: BudgetWish) -> None:
        await self._read_overrides()  # another machine may have set the amount that this one leaves as it is
        scope = (wish.scope, wish.name)
        override = None
        if not wish.remove:
            before = self._overrides.get(scope, LimitOverride(None, None))
            day = before.day_nano if wish.day_nano is None else wish.day_nano
            month = before.month_nano if wish.month_nano is None else wish.month_nano
            override = LimitOverride(day, month)
        await self._ledger.set_budget(*scope, override, caller.uid)
        self._overrides.pop(scope, None)
        if override is not None:
            self._overrides[scope] = override
        self._budgets = Budgets(self._settings, self._overrides)

    async def preferences(self, uid: int) -> Mapping[str, Any]:
        async with self._readings.turn(uid):
            return await self._ledger.preferences(uid)

    async def set_preferences(
        self, uid: int, value: object, providers: Mapping[str, ProviderSettings], allowed: Allowed = EVERYTHING
    ) -> None:
        """Replace that user's wishes. Raises InvalidArgument, or AccessDenied for what is new and not allowed."""
        wishes = parse_preferences(value, providers)
        async with self._readings.turn(uid):
            before = (await self._ledger.preferences(uid)).get("providers", {})
            rows = wishes.get("providers", {}).items()
            check_allowed({task: row for task, row in rows if row != before.get(task)}, allowed, providers)
            await self._ledger.set_preferences(uid, wishes)
        self._replaced += 1
        self._wishes.pop(uid, None)

    def forget(self, uid: int) -> None:
        """What is at hand of `uid` was somebody else's."""
        self._replaced += 1
        self._wishes.pop(uid, None)
        self.own_caps.forget(uid)

    async def wishes(self, uid: int) -> Wishes:
        """That user's preferences, as routing takes them."""
        known = self._wishes.get(uid)
        if known is None:
            replaced = self._replaced
            try:
                known = _wishes(await self.preferences(uid))
            except LedgerUnavailable:
                if not self._ledger.away:
                    raise
                return _UNKNOWN
            if replaced != self._replaced:
                return known  # perhaps what has just been replaced: it holds for those who asked before
            self._wishes.put(uid, known)
        return known


def _wishes(stored: Mapping[str, Any]) -> Wishes:
    rows = stored.get("providers", {}).items()
    targets = {TaskType(task): parse_targets(names) for task, names in rows if task in tuple(TaskType)}
    strategy = stored.get("strategy")
    known = Strategy(strategy) if strategy in tuple(Strategy) else None
    learned = stored.get("learned")
    mode = LearnedMode(learned) if learned in tuple(LearnedMode) else None
    secrets = Secrets(stored["secrets"]) if stored.get("secrets") in tuple(Secrets) else Secrets.OFF
    excluded = frozenset(map(Target.parse, stored.get("excluded", ())))
    on_break = OnBreak(stored["on_break"]) if stored.get("on_break") in tuple(OnBreak) else None
    local_only = bool(stored.get("local_only", False))
    return Wishes(targets, known, local_only, secrets, excluded=excluded, on_break=on_break, learned=mode)
