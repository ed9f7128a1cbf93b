"""Money for a person, as cortexctl shows it. An amount that is not known is a dash, never 0."""

from __future__ import annotations

MISSING = "—"
_NANO_PER_USD = 1_000_000_000
# from this many nano-dollars on, so many decimals
_DECIMALS = ((_NANO_PER_USD, 2), (1_000_000, 4), (1_000, 6), (1, 9))


def usd(nano: int | None) -> str:
    """Cents when large, and never so short that a cost looks like nothing."""
    if nano is None:
        return MISSING
    decimals = next((decimals for least, decimals in _DECIMALS if abs(nano) >= least), 2)
    unit = 10 ** (9 - decimals)
    whole = _half_even(nano, unit)
    sign, whole = ("-" if whole < 0 else ""), abs(whole)
    return f"${sign}{whole // 10**decimals}.{whole % 10**decimals:0{decimals}d}"


def exact_usd(nano: int) -> str:
    """For the router, which takes an amount as decimal text: 0.100000000."""
    return f"{nano // _NANO_PER_USD}.{nano % _NANO_PER_USD:09d}"


def _half_even(nano: int, unit: int) -> int:
    whole, rest = divmod(nano, unit)
    return whole + (2 * rest > unit or (2 * rest == unit and whole % 2 == 1))
