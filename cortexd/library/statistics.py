"""What a router has spent: exact sums that any number of threads may add to."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from cortexd.domain.money import to_usd
from cortexd.library.types import LLMProvider

_ALWAYS_SHOWN = (LLMProvider.CLAUDE, LLMProvider.KIMI_K2)


@dataclass(slots=True)
class _Sum:
    requests: int = 0
    tokens: int = 0
    nano: int = 0

    def row(self) -> dict[str, Any]:
        return {"requests": self.requests, "tokens": self.tokens, "cost_usd": to_usd(self.nano)}


class Statistics:
    """Sums per provider, in nano-dollars inside and dollars outside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[LLMProvider, _Sum] = {}
        self.reset()

    def add(self, provider: LLMProvider, tokens: int, nano: int | None) -> None:
        """Count one answer. An unknown cost (None) adds a request and its tokens, and no money."""
        with self._lock:
            found = self._sums.setdefault(provider, _Sum())
            found.requests += 1
            found.tokens += tokens
            found.nano += nano or 0

    def read(self) -> dict[str, Any]:
        """Figures that belong together."""
        with self._lock:
            return {
                "total_requests": sum(item.requests for item in self._sums.values()),
                "total_cost_usd": to_usd(sum(item.nano for item in self._sums.values())),
                "providers": {provider.value: item.row() for provider, item in self._sums.items()},
            }

    @property
    def request_count(self) -> int:
        return int(self.read()["total_requests"])

    @property
    def total_cost_usd(self) -> float:
        return float(self.read()["total_cost_usd"])

    def by_provider(self) -> dict[LLMProvider, dict[str, Any]]:
        """`requests`, `tokens` and `cost` (USD) of every provider, zeros where it has answered nothing."""
        with self._lock:
            sums = {
                provider: self._sums.get(provider, _Sum()) for provider in {**dict.fromkeys(LLMProvider), **self._sums}
            }
            return {
                provider: {"requests": item.requests, "tokens": item.tokens, "cost": to_usd(item.nano)}
                for provider, item in sums.items()
            }

    def reset(self) -> None:
        with self._lock:
            self._sums = {provider: _Sum() for provider in _ALWAYS_SHOWN}
