"""[routing.allowed]: which models users may have, by everybody, group, user and task type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from cortexd.config.problems import Expectation, UnknownSetting
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType

ALL = Target("*")
_MOST = 256  # in one list
Targets = tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class AllowedSettings:
    """Lists of targets; a provider alone is all its models, "*" everything. A user may have what `everybody`, his
    groups and himself have together; without any of these lists everybody may have everything.

    `everybody` is None where it is not set. `task_types`: for these, of all that, no more than this.
    """

    everybody: Targets | None = None
    groups: dict[str, Targets] = field(default_factory=dict)
    users: dict[str, Targets] = field(default_factory=dict)
    task_types: dict[TaskType, Targets] = field(default_factory=dict)

    @property
    def by_user(self) -> bool:
        """Whether users are told apart at all."""
        return self.everybody is not None or bool(self.groups or self.users)


def allowed(path: str, value: object, current: object) -> AllowedSettings:
    """The lists that are given, over those of `current`. Raises Expectation."""
    known = current if isinstance(current, AllowedSettings) else AllowedSettings()
    keys = tuple(item.name for item in fields(AllowedSettings))
    if not isinstance(value, dict):
        raise Expectation(f"a table with {', '.join(keys)}")
    changes: dict[str, Any] = {}
    for key, item in value.items():
        where = f"{path}.{key}"
        if key not in keys:
            raise UnknownSetting(where, keys)
        named = _NAMED.get(key)
        changes[key] = _targets(where, item) if named is None else _by_name(where, item, getattr(known, key), named)
    return replace(known, **changes)


def _by_name(path: str, value: object, current: dict[Any, Targets], named: Callable[[str, str], Any]) -> Any:
    if not isinstance(value, dict):
        raise Expectation("a table of name = a list", path, value)
    return {
        **current,
        **{named(name, f"{path}.{name}"): _targets(f"{path}.{name}", item) for name, item in value.items()},
    }


def _targets(path: str, value: object) -> Targets:
    """An empty list is nobody."""
    items = [value] if isinstance(value, str) else value
    try:
        if isinstance(items, list) and len(items) <= _MOST and all(isinstance(item, str) for item in items):
            return tuple(dict.fromkeys(map(Target.parse, items)))
    except ValueError:
        pass
    raise Expectation(f'a list of "provider", "provider/model" or "*", at most {_MOST}', path, value)


def _name(name: str, path: str) -> str:
    if not name or not name.isprintable() or " " in name:
        raise Expectation("names without blanks", path, name)
    return name


def _task(name: str, path: str) -> TaskType:
    try:
        return TaskType(name)
    except ValueError:
        raise Expectation(f"task types ({', '.join(TaskType)})", path, name) from None


_NAMED: dict[str, Callable[[str, str], Any]] = {"groups": _name, "users": _name, "task_types": _task}
