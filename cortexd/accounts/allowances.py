"""Which models each user may have, by the lists of [routing.allowed] and by the groups that he is in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cortexd.accounts.groups import Groups
from cortexd.authority import Caller
from cortexd.config.allowed import ALL, AllowedSettings, Targets
from cortexd.config.settings import ProviderSettings
from cortexd.domain.targets import parse_targets
from cortexd.domain.tasks import TaskType
from cortexd.routing import Allowed


class Allowances:
    """The settings' lists, and who is in their groups."""

    def __init__(self, settings: AllowedSettings) -> None:
        self.adopt(settings)

    def adopt(self, settings: AllowedSettings) -> None:
        """Whoever asks from now on gets these."""
        self._settings = settings
        self._by_task = {task: row for task, row in settings.task_types.items() if ALL not in row}
        self._groups = Groups(settings.groups, setting="routing.allowed.groups")

    async def of(self, caller: Caller) -> Allowed:
        """What holds for `caller` as this returns. Raises Timeout (see Groups)."""
        while True:
            settings = self._settings
            groups = await self._groups.of(caller.uid)
            if settings is self._settings:
                return Allowed(self._targets(caller, groups), self._by_task)

    def _targets(self, caller: Caller, groups: Mapping[str, Any]) -> Targets | None:
        if not self._settings.by_user:
            return None
        targets = tuple(dict.fromkeys(target for row in self._rows(caller, groups) for target in row))
        return None if ALL in targets else targets

    def _rows(self, caller: Caller, groups: Mapping[str, Any]) -> Iterator[Targets]:
        settings = self._settings
        yield settings.everybody or ()
        yield from (settings.groups[name] for name in sorted(groups))
        yield from (settings.users.get(name, ()) for name in (caller.user, str(caller.uid)))


def check_allowed(rows: Mapping[str, str], allowed: Allowed, providers: Mapping[str, ProviderSettings]) -> None:
    """Raises AccessDenied where a user's preferences, targets by task type, name what is not allowed to him."""
    for task, names in rows.items():
        for target in parse_targets(names):
            full = allowed.full(TaskType(task), target, providers[target.provider].model)
            allowed.check(TaskType(task), full, f"preferences.providers.{task}")
