"""Where nobody is tried to learn how well he serves: whom a caller, a rule or a conversation binds to one, nothing is
gambled with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cortexd.domain.messages import Role
from cortexd.routing.question import Question
from cortexd.routing.wishes import Wishes


@dataclass(frozen=True, slots=True)
class Case:
    """`pinned`: the caller named provider or model; `privileged`: the request needs more than the right to ask;
    `sticky`: somebody answers in its session; `near_end`: of a budget that binds the caller."""

    question: Question
    wishes: Wishes
    pinned: bool = False
    privileged: bool = False
    sticky: bool = False
    near_end: bool = False
    dry_run: bool = False

    @property
    def local(self) -> bool:
        return self.question.local_only or self.wishes.local_only

    @property
    def in_tool_loop(self) -> bool:
        return any(message.role is Role.TOOL or message.tool_calls for message in self.question.messages)

    @property
    def goes_on(self) -> bool:
        return self.sticky or any(message.role is Role.ASSISTANT for message in self.question.messages)


_BARS: dict[str, Callable[[Case], bool]] = {
    "pinned": lambda case: case.pinned,
    "privileged": lambda case: case.privileged,
    "local": lambda case: case.local,
    "tools": lambda case: case.in_tool_loop,
    "session": lambda case: case.goes_on,
    "budget": lambda case: case.near_end,
    "dry_run": lambda case: case.dry_run,
}
BARS = tuple(_BARS)


def barred(case: Case) -> str:
    """The word for what forbids to explore; "" where nothing does."""
    return next((word for word, stands in _BARS.items() if stands(case)), "")
