"""One call of a router as the bus takes it: its arguments, and the router's own rules as options."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cortexd.domain.tasks import TaskType, parse_task_type
from cortexd.errors import InvalidArgument
from cortexd.library.types import LLMProvider
from cortexd.library.wish import Rules, Wish, listed, ranks
from cortexd.validation.checks import as_sequence, shown


class OwnRules(UserDict[TaskType, LLMProvider]):
    """A routing table that remembers which task types the program has set or deleted: `own`.

    Those go along with each call; for the others the daemon's routing holds, whatever the table shows.
    """

    def __init__(self, table: Mapping[Any, Any] = {}, builtin: Mapping[Any, Any] = {}) -> None:
        """`table` as it is at first, `builtin` as nobody has changed it."""
        self.own: set[Any] = set()
        super().__init__(table)
        self.own = {task for task in {*table, *builtin} if table.get(task) != builtin.get(task)}

    def __setitem__(self, task: TaskType, provider: LLMProvider) -> None:
        super().__setitem__(task, provider)
        self.own.add(task)

    def __delitem__(self, task: TaskType) -> None:
        super().__delitem__(task)
        self.own.add(task)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request. `provider`: whom the caller forced, or the program's own rule names. `fallback`: whether a failure
    leads on to other providers."""

    task_type: TaskType
    messages: list[Any]
    options: dict[str, Any]
    provider: str | None
    forced: bool
    fallback: bool


def ask_of(wish: Wish, rules: Rules) -> Ask:
    """What to send. Raises InvalidArgument; what the daemon can check as well is left to it."""
    task = parse_task_type(wish.task_type)
    messages = as_sequence(listed(wish.messages), "messages")
    forced = _name(wish.force_provider, "force_provider")
    provider = forced or (None if ranks(wish) else _own_choice(task, rules))
    fallback = rules.fallback and forced is None
    options = {
        "provider": provider,
        "temperature": wish.temperature,
        "max_tokens": wish.max_tokens,
        "tools": listed(wish.tools) or None,
        # absent, the operator's own setting holds; a named provider would be asked alone
        "fallback": fallback if provider or not fallback else None,
        "strategy": wish.strategy,
        "on_break": wish.on_break,
        "hedge": wish.hedge,
    }
    return Ask(task, list(messages), options, provider, forced is not None, fallback)


def _own_choice(task: TaskType, rules: Rules) -> str | None:
    """The program's rule, where it has changed it; a rule that it deleted leads to its default provider."""
    if task not in rules.own:
        return None
    name = _name(rules.table.get(task), f"ROUTING_RULES[{task}]")
    return name or _name(rules.default_provider, "default_provider") or LLMProvider.CLAUDE.value


def _name(provider: Any, argument: str) -> str | None:
    """The daemon may know providers that LLMProvider does not: any text will do here."""
    if provider is not None and not isinstance(provider, str):
        raise InvalidArgument(f"{argument}: expected a provider's name, got {shown(provider)}")
    return None if provider is None else str(provider)
