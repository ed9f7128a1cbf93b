"""The cap that a person sets on the own spending. Money: nano-dollars; a day is 2026-11-29, a month 2026-11."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class AtLimit(StrEnum):
    """What happens to a request that has no room under the cap: its user is asked, a cheaper model is, or nobody."""

    ASK = "ask"
    DOWNGRADE = "downgrade"
    REFUSE = "refuse"


class HoldAnswer(StrEnum):
    """What a person says who is asked: so much more today, these requests alone, or neither."""

    TODAY = "today"
    ONCE = "once"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Extra:
    """What was allowed above the cap in one day or month."""

    period: str = ""
    nano: int = 0

    def of(self, period: str) -> int:
        return self.nano if period == self.period else 0


@dataclass(frozen=True, slots=True)
class OwnCap:
    """`paused_until`: aware; nothing may cost anything before. None for an amount or a pause that is not set."""

    day_nano: int | None = None
    month_nano: int | None = None
    at_limit: AtLimit = AtLimit.ASK
    paused_until: datetime | None = None
    day_extra: Extra = Extra()
    month_extra: Extra = Extra()

    def amounts(self, day: str) -> tuple[int | None, int | None]:
        """For that day and its month, with what was allowed on top."""
        return (
            None if self.day_nano is None else self.day_nano + self.day_extra.of(day),
            None if self.month_nano is None else self.month_nano + self.month_extra.of(day[:7]),
        )

    def raised(self, day: str, day_nano: int, month_nano: int) -> OwnCap:
        """With at least these amounts on that day and in its month, where they have a cap."""
        cap = self
        if self.day_nano is not None:
            more = max(self.day_extra.of(day), day_nano - self.day_nano)
            cap = replace(cap, day_extra=Extra(day, more))
        if self.month_nano is not None:
            more = max(self.month_extra.of(day[:7]), month_nano - self.month_nano)
            cap = replace(cap, month_extra=Extra(day[:7], more))
        return cap

    def paused(self, now: datetime) -> bool:
        return self.paused_until is not None and now < self.paused_until

    @property
    def empty(self) -> bool:
        return self.day_nano is None and self.month_nano is None and self.paused_until is None
