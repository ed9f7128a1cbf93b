"""The dictionaries of SetOwnBudget and AnswerHold."""

from __future__ import annotations

from dataclasses import dataclass

from cortexd.domain.own_cap import AtLimit, HoldAnswer
from cortexd.errors import InvalidArgument
from cortexd.validation.checks import Fields, as_boolean, as_fields, as_integer, as_member, as_usd

LONGEST_PAUSE_S = 31 * 24 * 3600


@dataclass(frozen=True, slots=True)
class OwnCapWish:
    """What SetOwnBudget shall set; what is None stays as it is. `pause_s` 0 ends a pause; `more_nano`: may be spent
    from now on, whatever the cap says of today and this month."""

    day_nano: int | None = None
    month_nano: int | None = None
    at_limit: AtLimit | None = None
    pause_s: int | None = None
    more_nano: int | None = None
    remove: bool = False


def parse_own_budget(value: object) -> OwnCapWish:
    """Raises InvalidArgument."""
    parsed = as_fields(value, _CHECKS, "budget")
    wish = OwnCapWish(**parsed)
    if wish.remove and len(parsed) > 1:
        raise InvalidArgument("budget.remove: expected nothing beside it")
    if wish == OwnCapWish():
        raise InvalidArgument(f"budget: expected at least one of {', '.join(_CHECKS)}")
    return wish


def parse_hold_answer(answer: object, options: object) -> tuple[HoldAnswer, int | None]:
    """The answer, and how much more may be spent, in nano-dollars, where it says so. Raises InvalidArgument."""
    parsed = as_member(HoldAnswer)(answer, "answer")
    more_nano = as_fields(options, _WITH_ANSWER, "options").get("more_nano")
    if more_nano is not None and parsed is not HoldAnswer.TODAY:
        raise InvalidArgument(f"options.more_usd: expected with {HoldAnswer.TODAY} alone, the answer is {parsed}")
    return parsed, more_nano


_WITH_ANSWER: Fields = {"more_usd": ("more_nano", as_usd)}
_CHECKS: Fields = {
    "day_usd": ("day_nano", as_usd),
    "month_usd": ("month_nano", as_usd),
    "at_limit": ("at_limit", as_member(AtLimit)),
    "pause_s": ("pause_s", as_integer(0, LONGEST_PAUSE_S)),
    "more_usd": ("more_nano", as_usd),
    "remove": ("remove", as_boolean),
}
