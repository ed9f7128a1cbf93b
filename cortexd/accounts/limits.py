"""Which limits bind a user, when one of their thresholds is crossed, and what a refusal says. Money: nano-dollars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from functools import lru_cache

from cortexd.accounts.groups import Groups, Uids
from cortexd.config.settings import BudgetSettings, LimitUsd
from cortexd.domain.apps import APP
from cortexd.domain.money import NANO_PER_USD, from_usd
from cortexd.domain.newest import Latest
from cortexd.domain.own_cap import OwnCap
from cortexd.errors import BudgetExceeded, Detail
from cortexd.ledger.records import PAUSE, BudgetChange, BudgetState, Limit, LimitOverride, OverBudget, Period

Overrides = Mapping[tuple[str, str], LimitOverride]
_NO_OVERRIDES: Overrides = {}
_NOTHING_SET = LimitOverride()
_ALL = Fraction(1)
_RETRY_AFTER_MS = 1000
_MOST_USERS = 4096  # whose limits are at hand
OWN_SHARE, OWN_CAP, PAUSED, APP_BUDGET = "own_share", "own_cap", "paused", "app_budget"
_SAID = {"refuse": "You refused more when you were asked. ", "none": "You were asked, and no answer came in time. "}


class Budgets:
    """The limits of the configuration, and above them, amount by amount, those that SetBudget has set.

    Overrides are keyed by scope (machine, each_user, user, group, app) and name, "" for the first two. A user with a
    budget of his own is not bound by `each_user`; an override for him leaves each amount that it does not name.
    Of a shared limit its users learn steps, and who has no limit of his own may have a share of it uncertain.
    """

    def __init__(self, settings: BudgetSettings, overrides: Overrides = _NO_OVERRIDES) -> None:
        self._overrides = dict(overrides)
        self._known: Latest[tuple[int, str], tuple[Mapping[str, Uids], tuple[Limit, ...]]] = Latest(_MOST_USERS)
        self._users = settings.users
        self._each_user = self._above("each_user", "", _amounts(settings.each_user))
        self._thresholds = settings.thresholds
        self._step = _fraction(settings.shared_step)
        self._share = _fraction(settings.own_share)
        self._machine = self._shared("machine", "", self._above("machine", "", _amounts(settings.machine)), None)
        named = {name for scope, name in overrides if scope == "group"} | settings.groups.keys()
        self._group_amounts = {
            name: self._above("group", name, _amounts(settings.groups.get(name, LimitUsd()))) for name in sorted(named)
        }
        named = {name for scope, name in overrides if scope == APP} | settings.apps.keys()
        self._apps = {
            name: self._above(APP, name, _amounts(settings.apps.get(name, LimitUsd()))) for name in sorted(named)
        }
        self._groups = Groups(name for name, amounts in self._group_amounts.items() if amounts != _NOTHING_SET)

    @property
    def coarsest_step_nano(self) -> int:
        """The largest step of any shared limit, 0 where there is none."""
        groups = (self._shared("group", name, amounts, None) for name, amounts in self._group_amounts.items())
        return max((limit.step_nano for limits in (self._machine, *groups) for limit in limits), default=0)

    async def limits_for(self, uid: int, user: str) -> tuple[Limit, ...]:
        """Every limit that binds `uid`: its own, its groups', the machine's. Raises Timeout (see Groups)."""
        groups, known = await self._groups.of(uid), self._known.get((uid, user))
        if known is None or known[0] != groups:
            known = self._known.put((uid, user), (groups, self._limits_of(uid, user, groups)))
        return known[1]

    def _limits_of(self, uid: int, user: str, groups: Mapping[str, Uids]) -> tuple[Limit, ...]:
        own = self._limits("user", user, self._own_amounts(uid, user), frozenset((uid,)))
        by_group = (
            self._shared("group", name, self._group_amounts[name], uids) for name, uids in sorted(groups.items())
        )
        shared = (*(limit for limits in by_group for limit in limits), *self._machine)
        return (*own, *(replace(limit, share=_ALL) for limit in shared)) if own else shared

    def limits_by_app(self, uid: int, app: str = "") -> tuple[Limit, ...]:
        """Those that bind what `uid` asks by that program; "": by each that has any."""
        chosen = [name for name in (self._apps if not app else (app,)) if name in self._apps]
        return tuple(limit for name in chosen for limit in self._limits(APP, name, self._apps[name], frozenset((uid,))))

    def _shared(self, scope: str, name: str, amounts: LimitOverride, uids: Uids | None) -> tuple[Limit, ...]:
        limits = self._limits(scope, name, amounts, uids)
        return tuple(replace(limit, step_nano=int(limit.nano * self._step), share=self._share) for limit in limits)

    def _limits(self, scope: str, name: str, amounts: LimitOverride, uids: Uids | None) -> tuple[Limit, ...]:
        pairs = ((Period.DAY, amounts.day_nano), (Period.MONTH, amounts.month_nano))
        return tuple(
            Limit(scope, name, period, nano, uids, marks=tuple(_mark(each, nano) for each in self._thresholds))
            for period, nano in pairs
            if nano is not None
        )

    def _own_amounts(self, uid: int, user: str) -> LimitOverride:
        named = next((self._users[name] for name in (user, str(uid)) if name in self._users), None)
        amounts = self._each_user if named is None else _amounts(named)
        known = next((name for name in (user, str(uid)) if ("user", name) in self._overrides), user)
        return self._above("user", known, amounts)

    def _above(self, scope: str, name: str, amounts: LimitOverride) -> LimitOverride:
        override = self._overrides.get((scope, name), _NOTHING_SET)
        day = amounts.day_nano if override.day_nano is None else override.day_nano
        month = amounts.month_nano if override.month_nano is None else override.month_nano
        return LimitOverride(day, month)


def thresholds_crossed(change: BudgetChange, thresholds: Iterable[float]) -> tuple[float, ...]:
    """The fractions of its limit that a settlement has reached or passed, the highest last."""
    before, after = change.before_nano, change.after_nano
    marks = _marks(change.limit.nano, tuple(thresholds))
    return tuple([fraction for nano, fraction in marks if before < nano <= after])


def near_end(state: BudgetState, nano: int) -> bool:
    """Whether a limit has so little left that what may cost `nano` would be a gamble with it: less than a tenth, or not
    four times as much. As its user may know it."""
    left = state.seen.left_nano
    return left * 10 < state.limit.nano or nano * 4 > left


def severity(state: BudgetState, thresholds: Iterable[float]) -> str:
    """ "ok", "warning" from the lowest threshold on, "exceeded" where what is spent has reached the limit."""
    spent, limit = state.spent_nano, state.limit.nano
    if spent >= limit:
        return "exceeded"
    return "warning" if any(_reached(spent, fraction, limit) for fraction in thresholds) else "ok"


def period_end(period: Period, now: datetime) -> datetime:
    """The first instant of the next day or month in the machine's time zone, also where its clocks change then."""
    today = now.astimezone().date()
    first = today + timedelta(days=1) if period is Period.DAY else _next_month(today)
    midnights = (datetime.combine(first, time(fold=fold)).astimezone() for fold in (0, 1))
    return min(instant for instant in midnights if instant.date() >= first)  # a midnight may come twice, or not at all


def begins_anew(limit: Limit, cap: OwnCap, now: datetime) -> datetime:
    """When the limit's period ends, or the pause of its user's `cap`."""
    if limit.scope == PAUSE and cap.paused_until is not None:
        return cap.paused_until.astimezone()
    return period_end(limit.period, now)


_ADJECTIVE = {Period.DAY: "daily", Period.MONTH: "monthly"}


def budget_exceeded(over: OverBudget, now: datetime, *, shared: bool = False) -> BudgetExceeded:
    """The refusal for its caller. What others have spent is not in it: a group's or the machine's rest is not told.
    `shared`: the ledger is that of several machines.

    Details: `period` (day or month), `limit_usd` (decimal), `resets_at` (ISO 8601); of a program's, `cause` and `app`;
    where it is the caller's own share that is too small, `cause`, and `retry_after_ms` while requests of his are under
    way.
    """
    state, limit = over.state, over.state.limit
    end = period_end(Period.DAY if over.own_share else limit.period, now)
    details = _details(limit, end)
    if over.own_share:
        details["cause"] = OWN_SHARE
        if state.own.reserved_nano:
            details["retry_after_ms"] = _RETRY_AFTER_MS
    if limit.scope == APP:
        details |= {"cause": APP_BUDGET, "app": limit.name}
        return BudgetExceeded(_too_much_by_app(state, end), **details)
    return BudgetExceeded(_too_much(over, end, _EVERYBODYS[shared]), **details)


def own_cap_exceeded(over: OverBudget, cap: OwnCap, answer: str = "") -> BudgetExceeded:
    """The refusal where its own user has set the limit. `answer`: what he said when he was asked.

    Details: `cause` (own_cap or paused), `period`, `limit_usd`, `resets_at`, and `answer` (refuse or none).
    """
    state, limit = over.state, over.state.limit
    end = begins_anew(limit, cap, datetime.now().astimezone())
    paused = limit.scope == PAUSE and cap.paused_until is not None
    details = {"cause": PAUSED if paused else OWN_CAP, **_details(limit, end)}
    if answer:
        details["answer"] = answer
    if paused:
        return BudgetExceeded(f"You have paused your spending until {_when(end)}. End the pause.", **details)
    said = _SAID.get(answer, "")
    return BudgetExceeded(
        f"This request may cost more than the ${_usd(state.left_nano)} left of the ${_usd(limit.nano)} that you allow "
        f"yourself a {limit.period}. {said}Allow more, choose a cheaper model, or wait until {_when(end)}.",
        **details,
    )


def _details(limit: Limit, end: datetime) -> dict[str, Detail]:
    return {"period": limit.period.value, "limit_usd": _usd(limit.nano), "resets_at": end.isoformat()}


def _when(end: datetime) -> str:
    """With its zone, which the ledger's days may be in and its reader's clock is not."""
    return f"{end:%Y-%m-%d %H:%M %Z}"


_EVERYBODYS = {False: "this machine's", True: "all machines'"}


def _too_much(over: OverBudget, end: datetime, everybodys: str) -> str:
    state, limit = over.state, over.state.limit
    whose = {"user": "your", "group": f"the {limit.name} group's", "machine": everybodys}[limit.scope]
    budget = f"{whose} ${_usd(limit.nano)} {_ADJECTIVE[limit.period]} budget"
    if over.own_share:
        return (
            f"Your requests under way, and today's without an answer whose cost is unknown, may take "
            f"${_usd(state.share_nano)} of {budget}; they take ${_usd(state.uncertain_nano)}. "
            f"Let some end, lower max_tokens, or wait until {_when(end)}."
        )
    room = f"the ${_usd(state.left_nano)} left of {budget}" if limit.scope == "user" else f"{budget} has room for"
    return (
        f"This request may cost more than {room}. Lower max_tokens, choose a cheaper model, or wait until {_when(end)}."
    )


def _too_much_by_app(state: BudgetState, end: datetime) -> str:
    limit = state.limit
    return (
        f"This request may cost more than the ${_usd(state.left_nano)} left of the ${_usd(limit.nano)} that you may "
        f"spend a {limit.period} by {limit.name}. "
        f"Lower max_tokens, choose a cheaper model, use another program, or wait until {_when(end)}."
    )


def _amounts(usd: LimitUsd) -> LimitOverride:
    day = None if usd.day_usd is None else from_usd(usd.day_usd)
    month = None if usd.month_usd is None else from_usd(usd.month_usd)
    return LimitOverride(day, month)


@lru_cache(maxsize=256)
def _fraction(threshold: float) -> Fraction:
    return Fraction(repr(threshold))  # 0.8 is meant as four fifths, not as the nearest binary number


def _reached(nano: int, threshold: float, limit: int) -> bool:
    return nano >= _mark(threshold, limit)


def _mark(threshold: float, limit: int) -> int:
    """The least amount that reaches it, in nano-dollars."""
    fraction = _fraction(threshold)
    return -(-limit * fraction.numerator // fraction.denominator)


@lru_cache(maxsize=256)
def _marks(limit: int, thresholds: tuple[float, ...]) -> tuple[tuple[int, float], ...]:
    """Each threshold once, the highest last, and what reaches it."""
    return tuple((_mark(fraction, limit), fraction) for fraction in sorted(set(thresholds)))


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _usd(nano: int) -> str:
    """Exact decimal dollars, at least two places."""
    whole, rest = divmod(nano, NANO_PER_USD)
    return f"{whole}.{f'{rest:09d}'.rstrip('0').ljust(2, '0')}"
