"""The money of one request while it runs: what its attempts have cost, what those under way may cost, and what is
reserved for them all."""

from __future__ import annotations

from dataclasses import dataclass

from cortexd.domain.money import format_usd
from cortexd.ledger import Ledger, OverBudget


@dataclass(slots=True)
class Reservation:
    """`reserved_nano`: in the ledger. `most_nano`: what the caller lets all attempts cost together, None for any sum.

    `promised_nano`: the worst cases of attempts from their reservation to their booking: also of one that is about to
    begin, and of one that begins again at another endpoint while a hedge runs beside it.
    """

    ledger: Ledger
    reserved_nano: int
    most_nano: int | None = None
    spent_nano: int = 0
    promised_nano: int = 0

    @property
    def taken_nano(self) -> int:
        return self.spent_nano + self.promised_nano

    async def promise(self, key: int, worst_case_nano: int) -> str:
        """Reserve what one more attempt may cost; why that cannot be, in words, or "" where it is done."""
        if self.most_nano is not None and self.taken_nano + worst_case_nano > self.most_nano:
            left, most = max(0, self.most_nano - self.taken_nano), format_usd(self.most_nano)
            return f"could cost more than the {format_usd(left)} left of max_cost_usd ({most})"
        self.promised_nano += worst_case_nano
        more = max(0, self.taken_nano - self.reserved_nano)
        self.reserved_nano += more  # before it is: whoever asks meanwhile reserves what comes on top
        try:
            if more:
                await self.ledger.reserve_more(key, more)
        except BaseException as error:
            self.reserved_nano -= more
            self.take_back(worst_case_nano)
            if isinstance(error, OverBudget):
                return "a budget has no room for it"
            raise
        return ""

    def take_back(self, worst_case_nano: int) -> None:
        """The attempt is not made after all."""
        self.promised_nano -= worst_case_nano

    def booked(self, worst_case_nano: int, cost_nano: int) -> None:
        """The attempt has ended."""
        self.promised_nano -= worst_case_nano
        self.spent_nano += cost_nano
