"""What each provider's default model costs, for programs that reckon with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import nan
from types import MappingProxyType

from cortexd.catalog import builtin_catalog
from cortexd.domain.money import Price, to_usd
from cortexd.library.settings import known_providers
from cortexd.library.types import LLMProvider


def list_prices() -> dict[LLMProvider, Mapping[str, float]]:
    """`input` and `output` of each, now, in USD per million tokens; NaN where that is not known."""
    providers, now = known_providers(), datetime.now(UTC)
    catalog = builtin_catalog().with_settings(providers)
    prices = {name: catalog.price(name, item.model, now, 0) for name, item in providers.items()}
    return {LLMProvider(name): _shown(price) for name, price in prices.items()}


def _shown(price: Price | None) -> Mapping[str, float]:
    if price is None:
        return MappingProxyType({"input": nan, "output": nan})
    return MappingProxyType({"input": to_usd(price.input), "output": to_usd(price.output)})
