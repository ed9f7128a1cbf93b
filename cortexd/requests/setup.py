"""What requests are answered with: one configuration, and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cortexd.catalog import Catalog
from cortexd.config import Config
from cortexd.providers import Provider


@dataclass(frozen=True, slots=True)
class Setup:
    """Swapped as a whole by a reload, so that each request sees one. `providers`: one for each of the configuration."""

    config: Config
    catalog: Catalog
    providers: Mapping[str, Provider]
