"""What a user wishes of routing beyond one request: preferences, and the provider of the session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cortexd.domain.messages import Strategy
from cortexd.domain.tasks import TaskType


@dataclass(frozen=True, slots=True)
class Wishes:
    """`providers`: the preferred provider by task type. `sticky`: the provider that the session stays with."""

    providers: Mapping[TaskType, str] = field(default_factory=dict)
    strategy: Strategy = Strategy.TABLE
    local_only: bool = False
    sticky: str | None = None


NONE = Wishes()
