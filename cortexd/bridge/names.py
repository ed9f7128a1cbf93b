"""The model names that programs give: a task type, a provider, or both, in one word."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from cortexd.client import AsyncClient, ProviderInfo
from cortexd.domain.tasks import TaskType
from cortexd.errors import UnknownProvider

AUTO, TASK = "auto", "task/"
_KEPT_S = 30.0


@dataclass(frozen=True, slots=True)
class Named:
    """`task_type`: where the name says one, else ""."""

    task_type: str
    options: dict[str, Any]


class Names:
    """What may be asked for; `instead`: the name that stands for every other one, where there is one. The service is
    asked who there is at most every half minute."""

    def __init__(self, client: AsyncClient, instead: str = "") -> None:
        self._client = client
        self._instead = instead
        self._providers: Sequence[ProviderInfo] = ()
        self._asked_at = float("-inf")

    async def resolve(self, name: str) -> Named:
        """Raises UnknownProvider with the nearest names."""
        found = await self._found(name)
        if found is None and self._instead:
            name, found = self._instead, await self._found(self._instead)
        if found is not None:
            return found
        near = get_close_matches(name, await self.all(), n=3, cutoff=0.4) or [AUTO]
        raise UnknownProvider(f"model: there is no {name!r:.80}. Ask for {' or '.join(near)}.")

    async def _found(self, name: str) -> Named | None:
        if name in ("", AUTO):
            return Named("", {})
        if name.startswith(TASK) and name.removeprefix(TASK) in tuple(TaskType):
            return Named(name.removeprefix(TASK), {})
        for provider in await self._configured():
            if name == provider.name:
                return Named("", {"provider": name})
            for model in provider.models:
                if name in (model, f"{provider.name}/{model}"):
                    return Named("", {"provider": provider.name, "model": model})
        return None

    async def all(self) -> list[str]:
        """auto, the task types, and each provider's models by their full names."""
        tasks = [f"{TASK}{task}" for task in TaskType]
        models = [f"{item.name}/{model}" for item in await self._configured() for model in item.models]
        return [AUTO, *tasks, *models]

    async def _configured(self) -> Sequence[ProviderInfo]:
        if time.monotonic() - self._asked_at > _KEPT_S:
            self._providers = [item for item in await self._client.providers() if item.configured]
            self._asked_at = time.monotonic()
        return self._providers
