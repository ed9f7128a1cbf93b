"""The model names that programs give: a task type, a provider, or both, in one word, or an alias for one of these."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cortexd.bridge.wishes import KeptWishes
from cortexd.client import AsyncClient, ProviderInfo
from cortexd.domain.close_words import close_words
from cortexd.domain.tasks import TaskType
from cortexd.errors import UnknownProvider

AUTO, TASK = "auto", "task/"
USUAL_TASK = "user_chat"
_NOBODY = ("", AUTO)
_PATTERN = frozenset("*?[")
_KEPT_S = 30.0


@dataclass(frozen=True, slots=True)
class Named:
    """`task_type`: where the name says one, else ""; `usual_task`: where nothing else does."""

    task_type: str
    options: dict[str, Any]
    usual_task: str = USUAL_TASK


class Names:
    """What may be asked for. `instead`: the name that stands for every other one, and `task`: what requests are for
    that do not say, where who started the bridge has said so. The service is asked who there is at most every half
    minute."""

    def __init__(
        self, client: AsyncClient, instead: str = "", task: str = "", wishes: KeptWishes | None = None
    ) -> None:
        self._client = client
        self._instead = instead
        self._task = task
        self._wishes = KeptWishes() if wishes is None else wishes
        self._providers: Sequence[ProviderInfo] = ()
        self._asked_at = float("-inf")

    async def resolve(self, name: str, app: str = "") -> Named:
        """As the program `app` means it. Raises UnknownProvider with the nearest names."""
        wishes = self._wishes.now
        own, meant = wishes.of(app), wishes.meant(name) or name
        stand_in = self._instead or own.model
        stand_in = wishes.aliases.get(stand_in, stand_in)
        if meant in _NOBODY and not self._instead:
            meant = stand_in or meant
        found = await self._found(meant)
        if found is None and stand_in:
            meant, found = stand_in, await self._found(stand_in)
        if found is None:
            raise await self._unknown(name, meant)
        return Named(found.task_type, found.options, self._task or own.task or USUAL_TASK)

    @property
    def problems(self) -> int:
        """How many flaws bridge.toml has."""
        return len(self._wishes.now.problems)

    async def known(self, name: str) -> bool:
        return await self._found(name) is not None

    async def _unknown(self, name: str, meant: str) -> UnknownProvider:
        near = dict.fromkeys((*close_words(meant, await self.all(), most=3, cutoff=0.4), AUTO))
        led = "" if meant == name else f", which stands for {name!r:.80} here"
        return UnknownProvider(f"model: there is no {meant!r:.80}{led}. Ask for {' or '.join(near)}.")

    async def _found(self, name: str) -> Named | None:
        if name in _NOBODY:
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
        """auto, the task types, each provider's models by their full names, and aliases."""
        tasks = [f"{TASK}{task}" for task in TaskType]
        models = [f"{item.name}/{model}" for item in await self._configured() for model in item.models]
        aliases = [alias for alias in self._wishes.now.aliases if not _PATTERN & set(alias)]
        return list(dict.fromkeys((AUTO, *tasks, *models, *aliases)))

    async def _configured(self) -> Sequence[ProviderInfo]:
        if time.monotonic() - self._asked_at > _KEPT_S:
            self._providers = [item for item in await self._client.providers() if item.configured]
            self._asked_at = time.monotonic()
        return self._providers
