"""How this user's spending stands, for showing in one glance. No thresholds of its own: the service has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortexd.client import BudgetInfo


class State(StrEnum):
    LOADING = "loading"  # nothing is known yet
    OK = "ok"
    WARN = "warn"  # a budget's first threshold is passed
    OVER = "over"  # a budget is used up
    HELD = "held"  # a request waits for the person's word
    STALE = "stale"  # the service is away: the figures are of before
    UNCONFIGURED = "unconfigured"  # no provider has a key yet
    ERROR = "error"  # the service does not say


PAUSE = "pause"  # the scope of a limit of nothing, for a while
_OF_SEVERITY = {"ok": State.OK, "exceeded": State.OVER}  # any other word is a warning
_RANK = (State.OK, State.WARN, State.OVER)


@dataclass(frozen=True, slots=True)
class Left:
    """Of the budget that ends first: US dollars left of `limit_usd` in `period` (day or month), of `scope`."""

    usd: float
    limit_usd: float
    period: str
    scope: str


@dataclass(frozen=True, slots=True)
class Spending:
    """None is for what is not known. `used`: of the fullest budget, 0 to 1 and above. `next_step`: a sentence, where
    something is to be done."""

    state: State = State.LOADING
    day_usd: float | None = None
    month_usd: float | None = None
    left: Left | None = None
    used: float | None = None
    next_step: str = ""


def state_of(budgets: Iterable[BudgetInfo]) -> State:
    """By the worst of them."""
    states = [_OF_SEVERITY.get(item.severity, State.WARN) for item in budgets]
    return max(states, key=_RANK.index, default=State.OK)


def left_of(budgets: Sequence[BudgetInfo]) -> Left | None:
    """A pause has nothing to be left."""
    known = [item for item in budgets if item.remaining_usd is not None and item.scope != PAUSE]
    if not known:
        return None
    least = min(known, key=lambda item: item.remaining_usd or 0.0)
    return Left(max(least.remaining_usd or 0.0, 0.0), least.limit_usd, least.period, least.scope)


def used_of(budgets: Sequence[BudgetInfo]) -> float | None:
    return max((_used(item) for item in budgets if item.remaining_usd is not None), default=None)


def _used(item: BudgetInfo) -> float:
    return 1 - (item.remaining_usd or 0.0) / item.limit_usd if item.limit_usd > 0 else 1.0
