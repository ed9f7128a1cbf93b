"""Presets (presets.toml): what a provider is before anybody has set anything."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cortexd.config.settings import DEFAULT_TOKENS_PER_S, ProviderSettings
from cortexd.domain.quirks import Quirk, Quirks

BUILTIN = ("claude", "kimi_k2", "deepseek", "qwen", "llama")


@dataclass(frozen=True, slots=True)
class Preset:
    """`base_url`: by API kind, the usual one first. `model`: "" where none goes without saying. `says`: the
    `owned_by` of such a server's models."""

    name: str
    title: str
    base_url: Mapping[str, str]
    key_variable: str | None = None
    model: str = ""
    local: bool = False
    max_tokens_per_s: int = DEFAULT_TOKENS_PER_S
    quirks: Quirks = frozenset()
    says: str = ""

    def settings(self, name: str, api: str | None = None) -> ProviderSettings:
        """A provider as the preset has it; without an address where it does not speak `api`."""
        kind = api or next(iter(self.base_url))
        return ProviderSettings(
            name=name,
            api=kind,
            base_url=self.base_url.get(kind, ""),
            model=self.model,
            local=self.local,
            key_variable=self.key_variable,
            preset=self.name,
            quirks=self.quirks,
            max_tokens_per_s=self.max_tokens_per_s,
        )


@cache
def presets() -> Mapping[str, Preset]:
    """By name, in the order of the file."""
    data = tomllib.loads(Path(__file__).with_name("presets.toml").read_text("utf-8"))
    return {name: _preset(name, row) for name, row in data.items()}


def _preset(name: str, row: Mapping[str, Any]) -> Preset:
    return Preset(name, **{**row, "quirks": frozenset(map(Quirk, row.get("quirks", ())))})
