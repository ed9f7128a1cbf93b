"""What servers said of their models, laid under what their operator wrote and over what the catalogue knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cortexd.catalog.lookup import Catalog
from cortexd.config import Config, ProviderSettings
from cortexd.config.settings import ANY_MODEL, ModelSettings
from cortexd.domain.served import ServedModel

_NO_CHAT = re.compile(r"embed|rerank|whisper|\btts\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Said:
    """What a server has, and when it said so (aware)."""

    models: tuple[ServedModel, ...]
    at: datetime

    @property
    def first(self) -> str:
        """The model that answers where none is named: one that is loaded first; "" where there is none."""
        return next((model.id for model in sorted(self.chat, key=lambda model: not model.loaded)), "")

    @property
    def chat(self) -> tuple[ServedModel, ...]:
        """Those that are not for something else by their names; all where none would be left."""
        return tuple(model for model in self.models if not _NO_CHAT.search(model.id)) or self.models


def with_said(config: Config, said: Mapping[str, Said], catalog: Catalog) -> Config:
    """The configuration with the models that are there in place of "*", and their contexts where the operator says
    none; those of a server elsewhere only where the catalogue knows none either."""
    providers = {
        name: _with_said(item, said[name], catalog) if name in said else item for name, item in config.providers.items()
    }
    return replace(config, providers=providers)


def _with_said(settings: ProviderSettings, said: Said, catalog: Catalog) -> ProviderSettings:
    rows = {
        name: _row(settings.models.get(name, ModelSettings()), model, _known(settings, name, catalog))
        for name, model in _declared(settings, said)
    }
    model = said.first if settings.model == ANY_MODEL else settings.model
    return replace(settings, model=model, models={**settings.models, **rows})


def _declared(settings: ProviderSettings, said: Said) -> Iterator[tuple[str, ServedModel]]:
    """Whose figures count, by the name that it is asked for: all where any will do, else those that are named. A
    server that has one alone takes it by other names, too, or refuses them."""
    for model in said.models:
        named = model.id in (settings.model, *settings.models)
        if named or (settings.model == ANY_MODEL and model in said.chat):
            yield model.id, model
    names = {model.id for model in said.models}
    if len(names) == 1 and settings.model not in {ANY_MODEL, *names}:
        yield settings.model, said.models[0]


def _known(settings: ProviderSettings, model: str, catalog: Catalog) -> Iterable[str]:
    """Of whose figures the catalogue knows better than the server."""
    entry = catalog.model(settings.preset or settings.name, model)
    known = {"context_tokens": entry.context_tokens, "output_tokens": entry.output_tokens}
    return () if settings.local else [name for name, value in known.items() if value is not None]


def _row(written: ModelSettings, model: ServedModel, known: Iterable[str]) -> ModelSettings:
    said = {"context_tokens": model.context_tokens, "output_tokens": model.output_tokens}
    new: dict[str, Any] = {
        name: value for name, value in said.items() if getattr(written, name) is None and name not in known
    }
    return replace(written, **new)
