"""Who may on a session or private bus, where there is no polkit."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cortexd.authority.authorization import Action, Caller
from cortexd.connection import Message
from cortexd.domain.tasks import TaskType
from cortexd.errors import AccessDenied, Denial


class SameUser:
    """The Authorizer of a session or private bus, for development: the daemon's own user may do everything."""

    def admit(self, caller: Caller) -> None:
        if caller.uid != os.getuid():
            words = f"on this bus only user {os.getuid()}, who runs the service, may use it"
            raise AccessDenied(words, cause=Denial.OTHER_USER.value)

    async def authorize(self, caller: Caller, action: Action, _task_types: Sequence[TaskType] = ()) -> None:
        self.admit(caller)
        caller.granted.add(action)

    async def may(self, caller: Caller, _action: Action) -> bool:
        return caller.uid == os.getuid()

    async def watch(self) -> None:
        """Nothing to hear of."""

    def on_signal(self, message: Message) -> None:
        """No signal changes who runs the service."""

    def forget(self, connection: str) -> None:
        """Nothing is kept of a connection."""
