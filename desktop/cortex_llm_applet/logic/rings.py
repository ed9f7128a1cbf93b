"""A budget as a ring: how much of it is spent, reserved and left, and how long it will last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from cortex_llm_applet.logic.amounts import MISSING, usd
from cortex_llm_applet.logic.dates import day_in_full
from cortex_llm_applet.logic.figures import Budget
from cortex_llm_applet.logic.projection import Projection, last_day, projection_of
from cortex_llm_applet.texts import N_, _

_TITLES = {
    ("user", "day"): N_("Your budget today"),
    ("user", "month"): N_("Your budget this month"),
    ("own", "day"): N_("Your own cap today"),
    ("own", "month"): N_("Your own cap this month"),
    ("group", "day"): N_("Budget of {name} today"),
    ("group", "month"): N_("Budget of {name} this month"),
    ("machine", "day"): N_("This computer's budget today"),
    ("machine", "month"): N_("This computer's budget this month"),
}
_ONES_OWN = frozenset({"user", "own"})  # who has spent and reserved in it, and no other
_NO_LIMITS = frozenset({"pause"})
METHOD = N_(
    "The pace is the mean of your last seven whole days with costs, times the share of such days in the last thirty."
)


@dataclass(frozen=True, slots=True)
class Ring:
    """`spent` and `reserved`: parts of the limit, 0 to 1; None where they are not known. `middle` stands in the ring,
    `lines` beside it: what and how much."""

    title: str
    severity: str
    spent: float | None
    reserved: float
    middle: str
    lines: tuple[tuple[str, str], ...]

    @property
    def words(self) -> str:
        return ". ".join([self.title, *(f"{name}: {value}" for name, value in self.lines)])


def rings_of(budgets: Iterable[Budget], days: Mapping[str, int] | None, today: date) -> tuple[Ring, ...]:
    """Of all that have a limit; a pause is none."""
    return tuple(ring_of(budget, days, today) for budget in budgets if budget.scope not in _NO_LIMITS)


def ring_of(budget: Budget, days: Mapping[str, int] | None, today: date) -> Ring:
    """`days`: as pace_of's, None where they are not known."""
    limit, left = budget.limit_nano_usd, budget.remaining_nano_usd
    title = _(_TITLES.get((budget.scope, budget.period), N_("A budget"))).format(name=budget.name)
    whole = None if left is None else max(0, left)
    spent, reserved = _used(budget), budget.reserved_nano_usd
    lines = [(_("Left"), _of(whole, limit)), (_("Spent"), usd(spent))]
    if budget.scope in _ONES_OWN:
        lines.append((_("Reserved for running requests"), usd(reserved)))
        lines += _outlook(budget, days, today) if budget.period == "month" else []
    share, held = _share(spent, limit), _share(reserved, limit)
    held = 0.0 if held is None or share is None else min(held, 1 - share)
    return Ring(title, budget.severity, share, held, _middle(whole, limit), tuple(lines))


def month_lines(spent_nano: int | None, days: Mapping[str, int] | None, today: date) -> tuple[tuple[str, str], ...]:
    """What the month will have cost, for who has no budget of it."""
    known = spent_nano is not None and days is not None
    projected = projection_of(days or {}, today, spent_nano or 0, None) if known else None
    return ((_("Spent this month"), usd(spent_nano)), _end_line(projected, today))


def _outlook(budget: Budget, days: Mapping[str, int] | None, today: date) -> list[tuple[str, str]]:
    spent, left = budget.spent_nano_usd, budget.remaining_nano_usd
    if days is None or spent is None or left is None:
        return [_end_line(None, today), (_("Used up"), MISSING)]
    projected = projection_of(days, today, spent, left)
    return [_end_line(projected, today), (_("Used up"), _used_up(projected, today))]


def _end_line(projected: Projection | None, today: date) -> tuple[str, str]:
    when = _("At this pace by {day}").format(day=day_in_full(last_day(today)))
    return when, usd(projected.end_nano if projected else None)


def _used_up(projected: Projection | None, today: date) -> str:
    if projected is None:
        return MISSING
    if projected.used_up is None:
        return _("not this month")
    return _("today") if projected.used_up == today else day_in_full(projected.used_up)


def _used(budget: Budget) -> int | None:
    """Of a shared budget nobody is told what others have spent: it is what is not left."""
    if budget.spent_nano_usd is not None:
        return budget.spent_nano_usd
    if budget.limit_nano_usd is None or budget.remaining_nano_usd is None:
        return None
    return budget.limit_nano_usd - max(0, budget.remaining_nano_usd)


def _share(nano: int | None, limit: int | None) -> float | None:
    if nano is None or limit is None:
        return None
    return min(1.0, max(0, nano) / limit) if limit > 0 else 1.0


def _middle(left: int | None, limit: int | None) -> str:
    """How much is left, in per cent: never 0% of what has a rest, nor 100% of what was used."""
    if left is None or limit is None:
        return MISSING
    if limit <= 0 or left == 0:
        return "0%"
    return f"{min(max(1, round(100 * left / limit)), 100 if left >= limit else 99)}%"


def _of(left: int | None, limit: int | None) -> str:
    return _("{left} of {limit}").format(left=usd(left), limit=usd(limit))
