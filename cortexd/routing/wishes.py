"""What a user wishes of routing beyond one request, and may have: preferences, who answers in the session, and what the
operator allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace

from cortexd.domain.messages import LearnedMode, OnBreak, Secrets, Strategy
from cortexd.domain.targets import Target, covered
from cortexd.domain.tasks import TaskType
from cortexd.domain.value import value
from cortexd.routing.allowed import EVERYTHING, Allowed


@value
class Wishes:
    """`targets`: whom the user prefers by task type, the first choice first. `strategy`, `learned`: None for the
    machine's.
    `sticky`: whom the session stays with. `secrets`: as the operator says, or stricter. `excluded`: whom the user never
    wants, a provider alone with all its models. `on_break`: None for the machine's.
    `unknown`: nobody could be asked: only models of the operator's own that cost nothing may answer."""

    targets: Mapping[TaskType, tuple[Target, ...]] = field(default_factory=dict)
    strategy: Strategy | None = None
    local_only: bool = False
    secrets: Secrets = Secrets.OFF
    sticky: Target | None = None
    excluded: frozenset[Target] = frozenset()
    allowed: Allowed = EVERYTHING
    on_break: OnBreak | None = None
    learned: LearnedMode | None = None
    unknown: bool = False

    def obstacle(self, task: TaskType, target: Target) -> str:
        """Why `target`, with its model, is out of the question for this user; empty where it is not."""
        mine = "is excluded (your preferences)" if covered(target, self.excluded) else ""
        return self.allowed.obstacle(task, target) or mine

    def asking_for(self, target: Target) -> Wishes:
        """As they are where the user has named `target`: what excludes it does not count."""
        return replace(self, excluded=self.excluded - {target, Target(target.provider)})


NONE = Wishes()
