"""What a user wishes of routing beyond one request: preferences, and who answers in the session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cortexd.domain.messages import Secrets, Strategy
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType


@dataclass(frozen=True, slots=True)
class Wishes:
    """`targets`: whom the user prefers by task type, the first choice first. `strategy`: None for the machine's.
    `sticky`: whom the session stays with. `secrets`: as the operator says, or stricter."""

    targets: Mapping[TaskType, tuple[Target, ...]] = field(default_factory=dict)
    strategy: Strategy | None = None
    local_only: bool = False
    secrets: Secrets = Secrets.OFF
    sticky: Target | None = None


NONE = Wishes()
