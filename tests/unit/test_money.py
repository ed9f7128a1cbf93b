"""Nano-dollars: exact, one rounding per attempt, half up. Expected figures are worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.domain.messages import Usage
from cortexd.domain.money import Price, cost_nano, format_usd, from_usd, to_usd, worst_case_nano

SONNET = Price(2_000_000_000, 10_000_000_000, 100_000_000, 2_500_000_000)
HOURLY = replace(SONNET, hour_write=4_000_000_000)
COUNTS = st.integers(0, 2**40)
PRICES = st.integers(0, 10**12)


class TestCost:
    def test_plain_usage(self) -> None:
        """12 in at 2 USD and 14 out at 10 USD per million are 0.000164 USD."""
        assert cost_nano(Usage(input_tokens=12, output_tokens=14), SONNET) == 164_000

    def test_cache_reads_and_writes_have_their_own_price(self) -> None:
        """1000 prompt tokens of which 600 were read from and 100 written to the cache."""
        usage = Usage(input_tokens=1000, cached_tokens=600, cache_write_tokens=100, output_tokens=0)
        assert cost_nano(usage, SONNET) == 300 * 2_000 + 600 * 100 + 100 * 2_500

    def test_without_a_cache_price_cached_tokens_are_plain_input(self) -> None:
        """A vendor with no cache price bills the whole prompt alike."""
        usage = Usage(input_tokens=10, cached_tokens=4)
        assert cost_nano(usage, Price(1_000_000, 0)) == 10

    def test_what_is_kept_for_an_hour_has_its_own_price(self) -> None:
        """Of 100 tokens that were written 30 are kept so long; without a price for that nobody knows what they cost."""
        usage = Usage(input_tokens=100, cache_write_tokens=100, hour_write_tokens=30)
        assert cost_nano(usage, HOURLY) == 70 * 2_500 + 30 * 4_000
        assert (HOURLY.knows(usage), SONNET.knows(usage), Price(2, 10).knows(usage)) == (True, False, True)
        assert cost_nano(usage, Price(1_000_000, 0)) == 100

    def test_half_a_nano_dollar_rounds_up(self) -> None:
        """Half up, and once for the whole attempt."""
        assert cost_nano(Usage(input_tokens=1), Price(500_000, 0)) == 1
        assert cost_nano(Usage(input_tokens=1), Price(499_999, 0)) == 0
        assert cost_nano(Usage(input_tokens=1, output_tokens=1), Price(250_000, 250_000)) == 1

    @given(COUNTS, COUNTS, PRICES, PRICES)
    def test_never_off_by_more_than_half(self, tokens_in: int, tokens_out: int, price_in: int, price_out: int) -> None:
        """For any counts and prices the result is the exact value rounded half up."""
        exact = Fraction(tokens_in * price_in + tokens_out * price_out, 1_000_000)
        cost = cost_nano(Usage(input_tokens=tokens_in, output_tokens=tokens_out), Price(price_in, price_out))
        assert Fraction(-1, 2) < cost - exact <= Fraction(1, 2)

    @given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
    def test_worst_case_is_never_below_the_cost(self, plain: int, read: int, write: int, hour: int, out: int) -> None:
        """However the prompt splits into cache reads and writes."""
        usage = Usage(plain + read + write, out, read, write)
        assert worst_case_nano(usage.input_tokens, out, SONNET) >= cost_nano(usage, SONNET)
        kept = Usage(plain + read + write + hour, out, read, write + hour, hour_write_tokens=hour)
        assert worst_case_nano(kept.input_tokens, out, HOURLY, for_an_hour=True) >= cost_nano(kept, HOURLY)

    @pytest.mark.parametrize(
        ("price", "nano"),
        [
            (Price(3, 5, 1, 2), 17),  # 4 million in at 3 and 1 million out at 5
            (Price(1, 5, 3, 2), 17),
            (Price(1, 5, 2, 3), 17),
            (Price(3, 5), 17),
            (Price(3, 5, 2), 17),
            (Price(3, 5, None, 2), 17),
        ],
    )
    def test_worst_case_takes_the_dearest_input(self, price: Price, nano: int) -> None:
        """The whole prompt may be plain, read from the cache or written to it, whichever costs most."""
        assert worst_case_nano(4_000_000, 1_000_000, price) == nano

    @pytest.mark.parametrize(
        ("tokens", "price", "nano"),
        [(1, 1, 1), (1_000_000, 1, 1), (1_000_001, 1, 2), (0, 1, 0), (10**12, 10**12 + 1, 10**18 + 10**6)],
    )
    def test_worst_case_is_rounded_up(self, tokens: int, price: int, nano: int) -> None:
        """A part of a nano-dollar is reserved as a whole one, and large sums keep every digit."""
        assert worst_case_nano(tokens, 0, Price(price, 0)) == nano
        assert worst_case_nano(0, tokens, Price(0, price)) == nano


class TestDollars:
    @pytest.mark.parametrize(("text", "nano"), [("0.16", 160_000_000), ("2.50", 2_500_000_000), ("0.003", 3_000_000)])
    def test_decimal_text_is_exact(self, text: str, nano: int) -> None:
        """Prices are written as text so that none is rounded on the way in."""
        assert from_usd(text) == nano

    def test_to_usd(self) -> None:
        """Dollars for showing."""
        assert to_usd(164_000) == pytest.approx(0.000164)

    @pytest.mark.parametrize(
        ("nano", "shown"),
        [
            (0, "$0.00"),
            (1, "$0.000000001"),
            (999, "$0.000000999"),
            (1_000, "$0.000001"),
            (164_000, "$0.000164"),
            (1_000_000, "$0.0010"),
            (12_300_000, "$0.0123"),
            (1_000_000_000, "$1.00"),
            (3_141_592_653, "$3.14"),
        ],
    )
    def test_no_cost_looks_like_nothing(self, nano: int, shown: str) -> None:
        """A person sees enough digits to tell a small cost from none."""
        assert format_usd(nano) == shown
