"""What requests are answered with: one configuration, and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cortexd.catalog import Catalog, Said, builtin_catalog, with_said
from cortexd.config import Config
from cortexd.pool import Pool, ReplicaView
from cortexd.providers import Provider


@dataclass(frozen=True, slots=True)
class Setup:
    """Swapped as a whole, by a reload or when a server says which models it has, so that each request sees one.

    `config`: with what was `said`, by provider; `written`: as it was read, None where nobody said anything.
    `providers`: one for each of the configuration.
    """

    config: Config
    catalog: Catalog
    providers: Mapping[str, Provider]
    said: Mapping[str, Said] = field(default_factory=dict)
    written: Config | None = None

    @classmethod
    def of(cls, written: Config, providers: Mapping[str, Provider], said: Mapping[str, Said]) -> Setup:
        """The catalogue with the operator's rates, and what servers said of their models."""
        config = with_said(written, said, builtin_catalog())
        return cls(config, builtin_catalog().with_settings(config.providers), providers, said, written)

    @property
    def as_written(self) -> Config:
        return self.written or self.config

    def hearing(self, name: str, said: Said) -> Setup:
        """With what that provider's server says now."""
        return self.of(self.as_written, self.providers, {**self.said, name: said})

    def full(self, provider: str, model: str, *, local_only: bool) -> str:
        """Why a call would have to wait for a place at that provider, in words; "" where it would not."""
        asked = self.providers.get(provider)
        return asked.full(model, local_only=local_only) if isinstance(asked, Pool) else ""

    def replicas(self, provider: str) -> tuple[ReplicaView, ...]:
        """Its endpoints, where they are watched one by one."""
        asked = self.providers.get(provider)
        return asked.view() if isinstance(asked, Pool) else ()
