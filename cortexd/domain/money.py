"""Money is integer nano-dollars (1 USD = 10^9) from end to end; floats appear only in what is shown.

Prices are nano-dollars per million tokens, so a price of 2 USD per million is 2_000_000_000 and one
token costs 2_000 nano-dollars. Each attempt is rounded once, half up.
"""

from __future__ import annotations

from decimal import Decimal

from cortexd.domain.messages import Usage
from cortexd.domain.value import value

NANO_PER_USD = 1_000_000_000
_MILLION = 1_000_000


@value
class Price:
    """Nano-dollars per million tokens. None means the vendor bills those tokens as plain input; but `hour_write`, of
    what is written to be kept for an hour, is unknown where it is None and `cache_write` is not."""

    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None
    hour_write: int | None = None

    def knows(self, usage: Usage) -> bool:
        """Whether all that was used has a price."""
        return not usage.hour_write_tokens or self.hour_write is not None or self.cache_write is None


def cost_nano(usage: Usage, price: Price) -> int:
    """What `usage` costs at `price`, in nano-dollars, rounded once, half up."""
    read = price.input if price.cache_read is None else price.cache_read
    write = price.input if price.cache_write is None else price.cache_write
    hour = write if price.hour_write is None else price.hour_write
    plain = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
    total = (
        plain * price.input
        + usage.cached_tokens * read
        + (usage.cache_write_tokens - usage.hour_write_tokens) * write
        + usage.hour_write_tokens * hour
        + usage.output_tokens * price.output
    )
    return (2 * total + _MILLION) // (2 * _MILLION)


def worst_case_nano(input_tokens: int, output_tokens: int, price: Price, *, for_an_hour: bool = False) -> int:
    """The most that a request of this size can cost at `price`, in nano-dollars, rounded up. `for_an_hour`: it wants
    the cache to keep some of it so long."""
    dearest_input = max(price.input, price.cache_read or 0, price.cache_write or 0)
    if for_an_hour:
        dearest_input = max(dearest_input, price.hour_write or 0)
    total = input_tokens * dearest_input + output_tokens * price.output
    return -(-total // _MILLION)


def to_usd(nano: int) -> float:
    """Nano-dollars as dollars, for showing only."""
    return nano / NANO_PER_USD


def from_usd(usd: str | int | float | Decimal) -> int:
    """Dollars as whole nano-dollars, half up; exact for decimal text."""
    return int((Decimal(str(usd)) * NANO_PER_USD + Decimal("0.5")).to_integral_value(rounding="ROUND_FLOOR"))


def format_dollars(usd: float) -> str:
    """As format_usd, of what is in dollars already."""
    return format_usd(from_usd(usd))


def format_usd(nano: int) -> str:
    """Dollars for a person: cents when large, and never so short that a cost looks like nothing."""
    usd = Decimal(nano) / NANO_PER_USD
    if nano == 0 or abs(nano) >= NANO_PER_USD:
        return f"${usd:.2f}"
    if abs(nano) >= 1_000_000:
        return f"${usd:.4f}"
    if abs(nano) >= 1_000:
        return f"${usd:.6f}"
    return f"${usd:.9f}"
