"""One call as it was made: its arguments, and its router's own settings at that moment. Nothing is checked yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cortexd.domain.messages import Strategy
from cortexd.domain.tasks import TaskType


@dataclass(frozen=True, slots=True)
class Rules:
    """A router's routing table and switches. `own`: the task types whose rule is the program's own wish."""

    table: Mapping[Any, Any]
    default_provider: Any
    fallback: bool
    track_costs: bool
    own: Collection[Any] = frozenset(TaskType)


@dataclass(frozen=True, slots=True)
class Wish:
    """The arguments of `complete` and its kin."""

    messages: Any
    task_type: Any
    force_provider: Any
    temperature: Any
    max_tokens: Any
    tools: Any
    strategy: Any = None
    on_break: Any = None
    hedge: Any = None


def listed(value: Any) -> Any:
    """A list of what an iterable gives; anything else as it is, for the validation to refuse."""
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping) else value


def ranks(wish: Wish) -> bool:
    """Whether a strategy chooses, and not the router's table."""
    return wish.strategy not in (None, Strategy.TABLE)
