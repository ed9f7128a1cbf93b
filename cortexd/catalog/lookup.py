"""Which models exist, what they can do and what they cost at a given moment for a prompt of a given length.

A price that is not in the data is *unknown* (None), never 0; worst cases then count the dearest known one.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from cortexd.config.settings import CAPABILITIES, ModelSettings, ProviderSettings, RateSettings
from cortexd.domain.messages import DEFAULT_MAX_TOKENS, Usage
from cortexd.domain.money import Price, cost_nano, from_usd, worst_case_nano
from cortexd.domain.quirks import Quirk, Quirks
from cortexd.domain.tasks import TaskType

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the week, UTC. `hours` are half-open ranges."""

    weekdays: frozenset[int]
    hours: tuple[tuple[int, int], ...]

    def contains(self, moment: datetime) -> bool:
        at = moment.astimezone(UTC)
        return at.weekday() in self.weekdays and any(first <= at.hour < last for first, last in self.hours)


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """One row of the price list and when it holds."""

    price: Price
    effective_from: date
    up_to_input_tokens: int | None = None
    window: Window | None = None

    def holds(self, moment: datetime, input_tokens: int) -> bool:
        within = self.up_to_input_tokens is None or input_tokens <= self.up_to_input_tokens
        return within and (self.window is None or self.window.contains(moment))


@dataclass(frozen=True, slots=True)
class Model:
    """`context_tokens` and `output_tokens` (the longest answer) are None where unknown; `image_tokens` is the most one
    image counts; `capabilities` are any of tools, images, response_schema; `quality` is 0 to 1 by task type, and of
    every other task under None; `rate` is an operator's own price."""

    provider: str
    id: str
    prices: tuple[PriceEntry, ...] = ()
    context_tokens: int | None = None
    image_tokens: int = 8192
    capabilities: frozenset[str] = frozenset(CAPABILITIES)
    output_tokens: int | None = None
    quirks: Quirks = frozenset()
    quality: Mapping[TaskType | None, float] = field(default_factory=dict)
    rate: Price | None = None

    def quality_for(self, task: TaskType) -> float | None:
        """0 to 1; None where nobody has said."""
        return self.quality.get(task, self.quality.get(None))

    def price(self, moment: datetime, input_tokens: int) -> Price | None:
        """The price at `moment` (aware) for a prompt of `input_tokens`; None where it is unknown."""
        if len(self.prices) == 1:
            [only] = self.prices
            return only.price if only.holds(moment, input_tokens) else None
        holding = [entry for entry in self._begun(moment) if entry.holds(moment, input_tokens)]
        return min(holding, key=_specificity).price if holding else None

    def dearest(self, moment: datetime) -> tuple[Price, ...]:
        """Every price that could come to hold for a request begun at `moment`: all tiers, all windows."""
        return tuple(entry.price for entry in self._begun(moment))

    def _begun(self, moment: datetime) -> Sequence[PriceEntry]:
        """The latest that have begun; before all of them, as on a machine whose clock was never set, the first."""
        if len(self.prices) == 1:
            return self.prices
        today = moment.astimezone(UTC).date()
        days = [entry.effective_from for entry in self.prices]
        begun = [day for day in days if day <= today]
        latest = max(begun) if begun else min(days, default=None)
        return [entry for entry in self.prices if entry.effective_from == latest]


def _specificity(entry: PriceEntry) -> tuple[bool, float]:
    """A window beats none, a lower tier a higher one."""
    return entry.window is None, entry.up_to_input_tokens or math.inf


class Catalog:
    """All known models. `rates` are operators' own prices per provider and stand above the data; `quirks` are those of
    a provider's models that are not known, `endpoints` those of all its models."""

    def __init__(
        self,
        models: Iterable[Model],
        rates: Mapping[str, Price] | None = None,
        quirks: Mapping[str, Quirks] | None = None,
        endpoints: Mapping[str, Quirks] | None = None,
    ) -> None:
        self._models = {(model.provider, model.id): model for model in models}
        self._rates = dict(rates or {})
        self._quirks = dict(quirks or {})
        self._endpoints = dict(endpoints or {})

    def model(self, provider: str, model_id: str) -> Model:
        """The model's entry; one with no price and every capability where the catalogue does not know it."""
        known = self._models.get((provider, model_id))
        return known or Model(provider, model_id, quirks=self._quirks.get(provider, frozenset()))

    def quirks(self, provider: str, model_id: str) -> Quirks:
        """What the model wants or refuses; of one that is not known, what the provider's usually do."""
        model = self.model(provider, model_id)
        quirks = model.quirks | self._endpoints.get(provider, frozenset())
        return quirks if "response_schema" in model.capabilities else quirks | {Quirk.NO_RESPONSE_SCHEMA}

    def knows(self, provider: str, model_id: str) -> bool:
        return (provider, model_id) in self._models

    def models_of(self, provider: str) -> tuple[Model, ...]:
        return tuple(model for (name, _), model in self._models.items() if name == provider)

    def price(self, provider: str, model_id: str, moment: datetime, input_tokens: int) -> Price | None:
        """The price at `moment` (aware) for a prompt of `input_tokens`: the operator's rate, or the data's."""
        model = self.model(provider, model_id)
        return model.rate or self._rates.get(provider) or model.price(moment, input_tokens)

    def cost(self, provider: str, model_id: str, usage: Usage, moment: datetime) -> int | None:
        """What `usage` costs for a request begun at `moment`, in nano-dollars; None where the price is unknown."""
        price = self.price(provider, model_id, moment, usage.input_tokens)
        return cost_nano(usage, price) if price is not None and price.knows(usage) else None

    def worst_case(
        self,
        provider: str,
        model_id: str,
        input_tokens: int,
        moment: datetime,
        output_tokens: int = DEFAULT_MAX_TOKENS,
        *,
        for_an_hour: bool = False,
    ) -> int:
        """The most that such a request can cost, in nano-dollars; an unknown price counts as the dearest known.
        `for_an_hour`: it wants the cache to keep some of it so long."""
        model = self.model(provider, model_id)
        rate = model.rate or self._rates.get(provider)
        prices = (rate,) if rate else model.dearest(moment) or self._all_prices(moment)
        if len(prices) == 1:  # of nearly all, without a generator
            return worst_case_nano(input_tokens, output_tokens, prices[0], for_an_hour=for_an_hour)
        worst = (worst_case_nano(input_tokens, output_tokens, price, for_an_hour=for_an_hour) for price in prices)
        return max(worst, default=0)

    def _all_prices(self, moment: datetime) -> tuple[Price, ...]:
        return tuple(price for model in self._models.values() for price in model.dearest(moment))

    def with_settings(self, providers: Mapping[str, ProviderSettings]) -> Catalog:
        """This catalogue with the operators' own models and rates; a local endpoint without one costs nothing."""
        rates: dict[str, Price] = {}
        for name, settings in providers.items():
            if settings.rate is not None:
                rates[name] = _rate(settings.rate)
            elif settings.local:
                rates[name] = Price(0, 0)
        known = self._by_preset(providers)
        own = [
            _with_settings(known.model(name, model), said)
            for name, settings in providers.items()
            for model, said in settings.models.items()
        ]
        endpoints = {name: settings.quirks for name, settings in providers.items()}
        return Catalog([*known._models.values(), *own], rates, known._quirks, endpoints)

    def _by_preset(self, providers: Mapping[str, ProviderSettings]) -> Catalog:
        """A vendor's models are known under each name that a provider with its preset has."""
        presets = {name: settings.preset for name, settings in providers.items()}
        others = {name: preset for name, preset in presets.items() if preset not in (None, name)}
        models = [
            replace(model, provider=name) for name, preset in others.items() for model in self.models_of(preset or "")
        ]
        quirks = {name: self._quirks[preset] for name, preset in others.items() if preset in self._quirks}
        return Catalog([*self._models.values(), *models], quirks={**self._quirks, **quirks})


def _rate(rate: RateSettings) -> Price:
    return _priced(
        rate.input_usd_per_million,
        rate.output_usd_per_million,
        rate.cache_read_usd_per_million,
        rate.cache_write_usd_per_million,
        rate.hour_write_usd_per_million,
    )


def _with_settings(model: Model, said: ModelSettings) -> Model:
    """What the operator says of it stands above what is known."""
    given: dict[str, Any] = {
        "context_tokens": said.context_tokens,
        "output_tokens": said.output_tokens,
        "image_tokens": said.image_tokens,
        "capabilities": said.capabilities,
        "quality": {**model.quality, **said.quality} or None,
        "rate": said.rate and _rate(said.rate),
    }
    return replace(model, **{key: value for key, value in given.items() if value is not None})


def _price(row: Mapping[str, Any]) -> Price:
    return _priced(row["input"], row["output"], *map(row.get, ("cache_read", "cache_write", "hour_write")))


def _priced(taken: str, given: str, *cached: str | None) -> Price:
    """From decimal USD per million tokens: input, output, and what is cached (read, written, written for an hour) where
    that has a price of its own."""
    return Price(from_usd(taken), from_usd(given), *(None if usd is None else from_usd(usd) for usd in cached))


def _window(row: Mapping[str, Any]) -> Window:
    return Window(
        frozenset(_WEEKDAYS.index(day) for day in row["weekdays"]),
        tuple((first, last) for first, last in row["hours_utc"]),
    )


def parse_catalog(text: str) -> Catalog:
    """A catalogue from TOML text in the form of models.toml."""
    data = tomllib.loads(text)
    windows = {name: _window(row) for name, row in data.get("windows", {}).items()}
    quirks = {provider: _quirks(words) for provider, words in data.get("unknown_models", {}).items()}
    return Catalog([_model(row, windows) for row in data["models"]], quirks=quirks)


def _quirks(words: Iterable[str]) -> Quirks:
    return frozenset(map(Quirk, words))


def _model(row: Mapping[str, Any], windows: Mapping[str, Window]) -> Model:
    prices = tuple(
        PriceEntry(
            _price(entry),
            entry["effective_from"],
            entry.get("up_to_input_tokens"),
            windows[entry["window"]] if "window" in entry else None,
        )
        for entry in row.get("prices", ())
    )
    return Model(
        row["provider"],
        row["id"],
        prices,
        row.get("context_tokens"),
        row.get("image_tokens", 8192),
        frozenset(row.get("capabilities", ())),
        row.get("output_tokens"),
        _quirks(row.get("quirks", ())),
        {TaskType(task): grade for task, grade in row.get("quality", {}).items()},
    )


@cache
def builtin_catalog() -> Catalog:
    """The catalogue that ships with cortexd."""
    return parse_catalog(Path(__file__).with_name("models.toml").read_text("utf-8"))
