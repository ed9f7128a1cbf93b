"""Prices as the vendors publish them, typed here once more, in USD per million tokens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from cortexd.catalog import builtin_catalog
from cortexd.catalog.lookup import Model, PriceEntry, Window, parse_catalog
from cortexd.config import builtin_config
from cortexd.config.settings import ProviderSettings, RateSettings
from cortexd.domain.messages import Usage
from cortexd.domain.money import Price
from cortexd.domain.quirks import Quirk

MONDAY_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MONDAY_PEAK = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
SUNDAY_PEAK_HOUR = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
MILLION = 1_000_000
TWO_MODELS = """
[unknown_models]
p = ["wants_reasoning", "no_names"]

[windows.night]
weekdays = ["sat", "sun"]
hours_utc = [[0, 6], [22, 24]]

[[models]]
provider = "p"
id = "bare"

[[models]]
provider = "p"
id = "whole"
context_tokens = 5000
output_tokens = 700
image_tokens = 90
capabilities = ["tools", "response_schema"]
quirks = ["no_system"]
[[models.prices]]
effective_from = 2026-11-02
up_to_input_tokens = 300
window = "night"
input = "1"
output = "2"
cache_read = "0.5"
cache_write = "1.5"
hour_write = "2.5"

[[models]]
provider = "q"
id = "other"
"""
BARE = Model("p", "bare", capabilities=frozenset())
WHOLE = Model(
    "p",
    "whole",
    (
        PriceEntry(
            Price(1_000_000_000, 2_000_000_000, 500_000_000, 1_500_000_000, 2_500_000_000),
            date(2026, 11, 2),
            300,
            Window(frozenset({5, 6}), ((0, 6), (22, 24))),
        ),
    ),
    context_tokens=5000,
    image_tokens=90,
    capabilities=frozenset({"tools", "response_schema"}),
    output_tokens=700,
    quirks=frozenset({Quirk.NO_SYSTEM}),
)


def usd(provider: str, model: str, usage: Usage, moment: datetime = MONDAY_NOON) -> float:
    cost = builtin_catalog().cost(provider, model, usage, moment)
    assert cost is not None
    return cost / 1e9


class TestPrices:
    @pytest.mark.parametrize(
        ("provider", "model", "tokens_in", "tokens_out", "read"),
        [
            ("claude", "claude-sonnet-5-5", 2, 10, 0.10),
            ("claude", "claude-opus-5-5", 4, 20, 0.20),
            ("kimi_k2", "kimi-k2.6", 0.95, 4, 0.16),
            ("kimi_k2", "kimi-k2.7-code", 0.95, 4, 0.19),
            ("deepseek", "deepseek-flash", 0.15, 0.60, 0.003),
            ("deepseek", "deepseek-v4-pro", 0.66, 1.98, 0.022),
            ("qwen", "qwen3.8-max", 2, 6, 0.25),
            ("qwen", "qwen3.8-flash", 0.15, 0.47, 0.016),
            ("llama", "meta-llama/llama-4-scout-17b-16e-instruct", 0.11, 0.34, 0.11),
            ("llama", "meta-llama/llama-4-maverick-17b-128e-instruct", 0.20, 0.60, 0.20),
        ],
    )
    def test_list_prices(self, provider: str, model: str, tokens_in: float, tokens_out: float, read: float) -> None:
        """A million tokens of each kind cost what the vendor's list says."""
        assert usd(provider, model, Usage(input_tokens=MILLION)) == tokens_in
        assert usd(provider, model, Usage(output_tokens=MILLION)) == tokens_out
        assert usd(provider, model, Usage(input_tokens=MILLION, cached_tokens=MILLION)) == read

    def test_haiku_is_dearer_for_long_prompts(self) -> None:
        """Up to 100,000 prompt tokens at one price; one token more, and all are at the other."""
        model = ("claude", "claude-haiku-5-5")
        assert usd(*model, Usage(input_tokens=100_000, output_tokens=1000)) == 0.0105
        assert usd(*model, Usage(input_tokens=100_001, output_tokens=1000)) == 0.0525005

    def test_deepseek_doubles_at_peak_on_weekdays(self) -> None:
        """01–04 and 06–10 UTC, Monday to Friday; the same hour on Sunday is off-peak."""
        usage = Usage(input_tokens=MILLION)
        assert usd("deepseek", "deepseek-flash", usage, MONDAY_PEAK) == 0.30
        assert usd("deepseek", "deepseek-flash", usage, SUNDAY_PEAK_HOUR) == 0.15
        assert usd("deepseek", "deepseek-flash", usage, MONDAY_PEAK.replace(hour=10, minute=0)) == 0.15

    @pytest.mark.parametrize(("zone", "hours_ahead"), [("UTC0", 0), ("JST-9", 9), ("EST5", -5)])
    def test_windows_are_half_open_in_utc(self, time_zone: Callable[[str], None], zone: str, hours_ahead: int) -> None:
        """The peak has its first hour and not its last, whatever zone the machine and the moment are in."""
        time_zone(zone)
        midnight = datetime(2026, 11, 23, tzinfo=UTC).astimezone()
        assert midnight.utcoffset() == timedelta(hours=hours_ahead)
        moments = [midnight + timedelta(minutes=30 * number) for number in range(48)]
        usage = Usage(input_tokens=MILLION)
        dear = [number for number, at in enumerate(moments) if usd("deepseek", "deepseek-flash", usage, at) == 0.30]
        assert dear == [*range(2, 8), *range(12, 20)]

    @pytest.mark.parametrize("zone", ["JST-9", "EST5"])
    def test_days_are_those_of_utc(self, time_zone: Callable[[str], None], zone: str) -> None:
        """A price begins at midnight UTC, wherever the machine stands."""
        time_zone(zone)
        catalog = parse_catalog(
            '[[models]]\nprovider = "p"\nid = "m"\n'
            '[[models.prices]]\neffective_from = 2026-11-01\ninput = "1"\noutput = "1"\n'
            '[[models.prices]]\neffective_from = 2026-11-23\ninput = "3"\noutput = "1"\n'
        )
        begins = datetime(2026, 11, 23, tzinfo=UTC).astimezone()
        for moment, nano in ((begins - timedelta(seconds=1), 10**9), (begins, 3 * 10**9)):
            assert catalog.cost("p", "m", Usage(MILLION), moment) == nano

    def test_an_unknown_price_is_unknown(self) -> None:
        """Never 0."""
        assert builtin_catalog().cost("claude", "claude-next", Usage(1, 1), MONDAY_NOON) is None

    def test_a_price_holds_from_its_day(self) -> None:
        """From a later entry's day that one holds; before all of them, where the clock is wrong, the first."""
        catalog = parse_catalog(
            '[[models]]\nprovider = "p"\nid = "m"\n'
            '[[models.prices]]\neffective_from = 2026-11-01\ninput = "1"\noutput = "1"\n'
            '[[models.prices]]\neffective_from = 2026-11-23\ninput = "3"\noutput = "1"\n'
        )
        costs = [
            catalog.cost("p", "m", Usage(MILLION), datetime(2026, *day, tzinfo=UTC))
            for day in ((10, 31), (11, 22), (11, 23))
        ]
        assert costs == [1_000_000_000, 1_000_000_000, 3_000_000_000]


class TestWorstCase:
    def test_dearest_tier_and_window(self) -> None:
        """Haiku counts at its long-prompt price, DeepSeek at its peak."""
        catalog = builtin_catalog()
        assert catalog.worst_case("claude", "claude-haiku-5-5", 1000, MONDAY_NOON, 0) == 1000 * 625
        assert catalog.worst_case("deepseek", "deepseek-flash", 0, SUNDAY_PEAK_HOUR, 1000) == 1000 * 1200

    def test_unknown_price_counts_as_the_dearest_known(self) -> None:
        """4,096 output tokens at Opus' 20 USD."""
        assert builtin_catalog().worst_case("x", "y", 0, MONDAY_NOON) == 4096 * 20_000

    def test_where_no_price_is_known(self) -> None:
        """A catalogue without any price has nothing to count."""
        assert parse_catalog(TWO_MODELS.partition("[[models.prices]]")[0]).worst_case("p", "bare", 9, MONDAY_NOON) == 0

    def test_a_clock_that_was_never_set_makes_nothing_free(self) -> None:
        """In 1970 no price has begun: known models cost what they first cost, others as the dearest known."""
        catalog, then = builtin_catalog(), datetime(1970, 1, 1, tzinfo=UTC)
        assert catalog.worst_case("claude", "claude-sonnet-5-5", 0, then) == 4096 * 10_000
        assert catalog.worst_case("x", "y", 0, then) == 4096 * 20_000

    def test_operators_rate_and_local(self) -> None:
        """An own rate stands above the list; a local endpoint without one is free."""
        rate = RateSettings("0.5", "1")
        own = ProviderSettings("own", "openai", "http://127.0.0.1/v1", "m", rate=rate)
        free = ProviderSettings("free", "openai", "http://127.0.0.1/v1", "m", local=True)
        catalog = builtin_catalog().with_settings({"own": own, "free": free})
        assert catalog.cost("own", "m", Usage(MILLION, MILLION), MONDAY_NOON) == 1_500_000_000
        assert catalog.cost("free", "m", Usage(MILLION, MILLION), MONDAY_NOON) == 0
        assert catalog.worst_case("free", "m", MILLION, MONDAY_NOON) == 0

    def test_default_models_have_prices(self) -> None:
        """What answers by default is never of unknown price."""
        for name, settings in builtin_config().providers.items():
            assert builtin_catalog().knows(name, settings.model)


class TestModels:
    def test_are_what_the_text_says(self) -> None:
        """Every field of a model; what is left out is unknown, none or the default."""
        catalog = parse_catalog(TWO_MODELS)
        assert catalog.models_of("p") == (BARE, WHOLE)
        assert [catalog.model("p", name) for name in ("bare", "whole")] == [BARE, WHOLE]
        assert [catalog.knows(*name) for name in (("p", "whole"), ("q", "whole"))] == [True, False]
        assert builtin_catalog().models_of("deepseek") != ()

    def test_unknown_ones_have_their_providers_ways(self) -> None:
        """A model that is not listed may do everything, has no price, and wants what its provider's usually do."""
        catalog = parse_catalog(TWO_MODELS)
        everything = frozenset({"tools", "images", "response_schema"})
        usual = frozenset({Quirk.WANTS_REASONING, Quirk.NO_NAMES})
        assert catalog.model("p", "new") == Model("p", "new", capabilities=everything, quirks=usual)
        assert catalog.model("q", "new") == Model("q", "new", capabilities=everything)
        assert builtin_catalog().quirks("deepseek", "deepseek-next") == {Quirk.WANTS_REASONING}

    @pytest.mark.parametrize("own_rates", [False, True])
    def test_quirks(self, own_rates: bool) -> None:
        """What the list says, and no schemas where they are no capability; an operator's rates change nothing of it."""
        catalog = parse_catalog(TWO_MODELS)
        if own_rates:
            catalog = catalog.with_settings({"p": ProviderSettings("p", "openai", "http://[::1]/v1", "m", local=True)})
        assert catalog.quirks("p", "whole") == {Quirk.NO_SYSTEM}
        assert catalog.quirks("p", "bare") == {Quirk.NO_RESPONSE_SCHEMA}
        assert catalog.quirks("p", "new") == {Quirk.WANTS_REASONING, Quirk.NO_NAMES}
