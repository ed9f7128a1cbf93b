"""What all limits that bind a person come to: the tightest of them, and a pause."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from cortex_llm_applet.logic.clock import time_of_day
from cortex_llm_applet.logic.figures import Budget
from cortex_llm_applet.texts import _

PAUSE, OWN = "pause", "own"
_USED_UP = "exceeded"


@dataclass(frozen=True, slots=True)
class Limits:
    """`amounts`: the operator's and the own caps. `pause`: the row of the own pause."""

    amounts: tuple[Budget, ...]
    pause: Budget | None

    @property
    def left_nano_usd(self) -> int | None:
        """Of the tightest; None where there is none, or nobody knows."""
        known = [budget.remaining_nano_usd for budget in self.amounts if budget.remaining_nano_usd is not None]
        return max(0, min(known)) if known else None

    def used_up(self, *, own: bool) -> bool:
        """Whether one of the own caps is, or one of the operator's limits."""
        return any((budget.scope == OWN) is own and budget.severity == _USED_UP for budget in self.amounts)


def limits_of(budgets: Iterable[Budget]) -> Limits:
    rows = tuple(budgets)
    pause = next((budget for budget in rows if budget.scope == PAUSE), None)
    return Limits(tuple(budget for budget in rows if budget.scope != PAUSE), pause)


def paused_in_words(pause: Budget, today: date | None) -> str:
    return _("Your spending is paused until {time}.").format(time=time_of_day(pause.resets_at, today))
