"""Which polkit action a request needs. The answer comes from an Authorizer (polkit.py is the real one)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import field
from enum import StrEnum
from typing import Any, Protocol

from cortexd.access import Load
from cortexd.config.settings import AuthorizationSettings
from cortexd.domain.messages import Options
from cortexd.domain.tasks import ALWAYS_PRIVILEGED, TaskType
from cortexd.domain.value import value


class Action(StrEnum):
    COMPLETE = "org.cortexlinux.LLMRouter.complete"
    SYSTEM_OPERATION = "org.cortexlinux.LLMRouter.system-operation"
    VIEW_ALL_USAGE = "org.cortexlinux.LLMRouter.view-all-usage"
    MANAGE = "org.cortexlinux.LLMRouter.manage"


@value
class Caller:
    """Who made one call. `connection` is the unique bus name, the only subject that polkit is asked about;
    `granted` collects what this very call was authorised for; `load` is what its content holds of the memory."""

    connection: str
    uid: int
    user: str
    interactive: bool = False
    granted: set[Action] = field(default_factory=set, compare=False)
    load: Load | None = field(default=None, compare=False)

    def needed_by(self, task: asyncio.Task[Any]) -> None:
        """`task` works with what the call brought, also after the call has ended."""
        if self.load is not None:
            self.load.needed_by(task)


class Authorizer(Protocol):
    def admit(self, caller: Caller) -> None:
        """Raise AccessDenied where `caller` may call nothing at all, not even what needs no authorization."""

    async def authorize(self, caller: Caller, action: Action, task_types: Sequence[TaskType] = ()) -> None:
        """Return if `caller` may; raise AccessDenied or InteractiveAuthorizationRequired if not, also in doubt."""

    async def may(self, caller: Caller, action: Action) -> bool:
        """Whether `caller` may without a person being asked. Raises nothing."""


def action_for(
    task_type: TaskType,
    options: Options,
    settings: AuthorizationSettings,
    offers_tools: bool = False,
) -> Action:
    """The action that a request of this task type needs. `offers_tools`: such as `options` has no word for."""
    privileged = task_type in ALWAYS_PRIVILEGED or task_type in settings.privileged_task_types
    if settings.tools_are_system_operations and (options.tools or offers_tools):
        privileged = True
    return Action.SYSTEM_OPERATION if privileged else Action.COMPLETE
