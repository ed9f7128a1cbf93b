"""What all limits that bind a person come to: the tightest of them, whether one is used up, and a pause."""

from __future__ import annotations

from collections.abc import Iterable

from cortex_llm_applet.logic.figures import Budget

OWN, PAUSE, APP = "own", "pause", "app"
_USED_UP = "exceeded"


def without_pause(rows: Iterable[Budget]) -> tuple[tuple[Budget, ...], Budget | None]:
    """The operator's limits and the own caps, and the row of the own pause, which is no amount. A program's budget says
    nothing of what its user may spend by others."""
    budgets = tuple(rows)
    pause = next((budget for budget in budgets if budget.scope == PAUSE), None)
    return tuple(budget for budget in budgets if budget.scope not in (PAUSE, APP)), pause


def left_nano_usd(budgets: Iterable[Budget]) -> int | None:
    """Of the tightest; None where there is none, or nobody knows."""
    known = [budget.remaining_nano_usd for budget in budgets if budget.remaining_nano_usd is not None]
    return max(0, min(known)) if known else None


def used_up(budgets: Iterable[Budget], *, own: bool) -> bool:
    """Whether one of the own caps is, or one of the operator's limits."""
    return any((budget.scope == OWN) is own and budget.severity == _USED_UP for budget in budgets)
