"""What requests are answered with: one configuration, and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cortexd.catalog import Catalog
from cortexd.config import Config
from cortexd.pool import Pool, ReplicaView
from cortexd.providers import Provider


@dataclass(frozen=True, slots=True)
class Setup:
    """Swapped as a whole by a reload, so that each request sees one. `providers`: one for each of the configuration."""

    config: Config
    catalog: Catalog
    providers: Mapping[str, Provider]

    def full(self, provider: str, *, local_only: bool) -> str:
        """Why a call would have to wait for a place at that provider, in words; "" where it would not."""
        asked = self.providers.get(provider)
        return asked.full(local_only=local_only) if isinstance(asked, Pool) else ""

    def replicas(self, provider: str) -> tuple[ReplicaView, ...]:
        """Its endpoints, where they are watched one by one."""
        asked = self.providers.get(provider)
        return asked.view() if isinstance(asked, Pool) else ()
