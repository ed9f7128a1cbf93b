"""The dictionaries of the other methods: a usage query, preferences, a budget, an outcome, a batch's options."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from cortexd.domain.messages import LearnedMode, OnBreak, Secrets, Strategy
from cortexd.domain.modes import clash
from cortexd.domain.outcomes import REPORTED, Source
from cortexd.domain.targets import MOST_TARGETS, Target, covered, parse_targets, written
from cortexd.domain.tasks import TaskType
from cortexd.errors import InvalidArgument, UnknownProvider
from cortexd.validation.checks import (
    LABEL_KEY,
    MAX_ID,
    Fields,
    as_boolean,
    as_fields,
    as_integer,
    as_labels,
    as_mapping,
    as_member,
    as_name,
    as_number,
    as_sequence,
    as_text,
    as_usd,
    known_keys,
    matching,
    shown,
)

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_FIRST_DAY, _LAST_DAY = date(1970, 1, 1), date(2999, 12, 31)
_USUAL_DAYS = 30
_MAX_DAYS = 3700
_MAX_PARALLEL = 64
_PARALLEL = 8
_MOST_ROW = 4096  # characters
_MOST_EXCLUDED = 64
_BATCH_REQUEST_ID = 57  # request number n goes by "request_id.n", within 64 characters


class Grouping(StrEnum):
    DAY = "day"
    HOUR = "hour"
    TASK_TYPE = "task_type"
    PROVIDER = "provider"
    MODEL = "model"
    LABEL = "label"
    APP = "app"
    UID = "uid"
    HOST = "host"


class Scope(StrEnum):
    MACHINE = "machine"
    EACH_USER = "each_user"
    USER = "user"
    GROUP = "group"
    APP = "app"


_NAMED = (Scope.USER, Scope.GROUP, Scope.APP)


@dataclass(frozen=True, slots=True)
class UsageWish:
    """What GetUsage shall sum: `since` and `until` are days, both included; `label` is the label's key or "".

    `app`: only what the program of that name asked; "" for all.
    """

    since: date
    until: date
    group_by: tuple[str, ...] = ()
    label: str = ""
    all_users: bool = False
    app: str = ""


@dataclass(frozen=True, slots=True)
class LearningWish:
    """What GetLearningReport shall judge: requests of so many days up to now, of one task type or, with "", of all."""

    days: int = _USUAL_DAYS
    task_type: str = ""
    all_users: bool = False


@dataclass(frozen=True, slots=True)
class BudgetWish:
    """What SetBudget shall set, in nano-dollars; a limit that is None stays as it is.

    `scope`: machine, each_user, user, group or app; `name` only of the last three, else "".
    """

    scope: str
    name: str = ""
    day_nano: int | None = None
    month_nano: int | None = None
    remove: bool = False


@dataclass(frozen=True, slots=True)
class OutcomeWish:
    """What ReportOutcome says of an answer. `part`: of its source's weight, 0 to 1."""

    score: float
    source: Source = Source.USER
    part: float = 1.0
    reason: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def parse_usage_query(value: object, today: date) -> UsageWish:
    """A query of GetUsage; the `days` (30) up to `until` or today where it names none. Raises InvalidArgument."""
    parsed = as_fields(value, _USAGE, "query")
    if "days" in parsed and "since" in parsed:
        raise InvalidArgument("query.days: expected either days or since, not both")
    until = parsed.get("until", today)
    days = parsed.pop("days", _USUAL_DAYS)
    since = parsed.get("since", max(until - timedelta(days=days - 1), _FIRST_DAY))
    if until < since:
        raise InvalidArgument(f"query.until: {until} is before query.since ({since})")
    if (until - since).days >= _MAX_DAYS:
        raise InvalidArgument(
            f"query.since: expected at most {_MAX_DAYS} days at once, got {(until - since).days + 1}; ask in parts"
        )
    wish = UsageWish(**{**parsed, "since": since, "until": until})
    if (Grouping.LABEL in wish.group_by) != bool(wish.label):
        raise InvalidArgument("query.label: expected the label's key together with group_by label, and only then")
    return wish


def parse_learning_query(value: object) -> LearningWish:
    """A query of GetLearningReport. Raises InvalidArgument."""
    return LearningWish(**as_fields(value, _LEARNING, "query"))


def parse_preferences(value: object, providers: Collection[str]) -> dict[str, Any]:
    """Preferences of one user as plain values, only what is set: `providers` {task type: targets}, `strategy`,
    `learned`, `local_only`, `secrets`, `excluded` [target], `on_break`. Raises InvalidArgument, or UnknownProvider
    where `providers` holds no such name."""
    parsed = as_fields(value, _PREFERENCES, "preferences")
    strategy, mode = parsed.get("strategy"), parsed.get("learned")
    if words := clash(strategy and Strategy(strategy), mode and LearnedMode(mode)):
        raise InvalidArgument(f"preferences.learned: {words}")
    excluded = tuple(map(Target.parse, parsed.get("excluded", ())))
    _known_providers(excluded, providers, "preferences.excluded")
    for task, names in parsed.get("providers", {}).items():
        targets = parse_targets(names)
        _known_providers(targets, providers, f"preferences.providers.{task}")
        for target in targets:
            if covered(target, excluded):
                raise InvalidArgument(f"preferences.excluded: {target} is preferred for {task}; choose one of both")
    return {key: item for key, item in parsed.items() if item not in ({}, ())}


def _known_providers(targets: Iterable[Target], providers: Collection[str], path: str) -> None:
    for target in targets:
        if target.provider not in providers:
            raise UnknownProvider(f"{path}: unknown provider {shown(target.provider)}; one of {', '.join(providers)}")


def parse_budget(value: object) -> BudgetWish:
    """New limits of SetBudget, or that they are given up. Raises InvalidArgument."""
    parsed = as_fields(value, _BUDGET, "budget")
    if "scope" not in parsed:
        raise InvalidArgument(f"budget.scope: expected one of {', '.join(Scope)}, got nothing")
    wish = BudgetWish(**parsed)
    if (wish.scope in _NAMED) != bool(wish.name):
        raise InvalidArgument(
            f"budget.name: expected with scope {' or '.join(_NAMED)} and no other, scope is {wish.scope!r}"
        )
    limits = wish.day_nano is not None or wish.month_nano is not None
    if limits and wish.remove:
        raise InvalidArgument("budget.remove: expected no day_usd or month_usd beside it")
    if not limits and not wish.remove:
        raise InvalidArgument("budget: expected day_usd or month_usd, or remove = true")
    return wish


def parse_outcome(score: object, details: object) -> OutcomeWish:
    """The score and details of ReportOutcome. Raises InvalidArgument."""
    return OutcomeWish(as_number(0, 1)(score, "score"), **as_fields(details, _OUTCOME, "details"))


def parse_batch_options(value: object) -> tuple[int, dict[str, Any]]:
    """How many requests of a batch at a time, and the options of each, still to be parsed. Raises InvalidArgument."""
    rest = dict(as_mapping(value, "options"))
    parallel = as_integer(1, _MAX_PARALLEL)(rest.pop("parallel", _PARALLEL), "options.parallel")
    request_id = rest.get("request_id")
    if isinstance(request_id, str) and len(request_id) > _BATCH_REQUEST_ID:
        raise InvalidArgument(
            f"options.request_id: expected at most {_BATCH_REQUEST_ID} characters in a batch, got {len(request_id)}"
        )
    return parallel, rest


def _day(value: object, path: str) -> date:
    try:
        day = date.fromisoformat(value) if isinstance(value, str) and _DAY.fullmatch(value) else None
    except ValueError:
        day = None
    if day is None or not _FIRST_DAY <= day <= _LAST_DAY:
        raise InvalidArgument(f"{path}: expected a day such as 2026-11-24, got {shown(value)}")
    return day


def _groups(value: object, path: str) -> tuple[str, ...]:
    member = as_member(Grouping)
    rows = as_sequence(value, path)[: len(Grouping) + 1]  # more than these hold one twice
    groups = tuple(member(item, f"{path}[{index}]").value for index, item in enumerate(rows))
    if len(set(groups)) != len(groups):
        raise InvalidArgument(f"{path}: expected each of them once")
    return groups


def _label(value: object, path: str) -> str:
    return matching(value, LABEL_KEY, path)


def _scope(value: object, path: str) -> str:
    return as_member(Scope)(value, path).value


def _task(value: object, path: str) -> str:
    return as_member(TaskType)(value, path).value


def _strategy(value: object, path: str) -> str:
    return as_member(Strategy)(value, path).value


def _learned(value: object, path: str) -> str:
    return as_member(LearnedMode)(value, path).value


def _source(value: object, path: str) -> Source:
    if value not in REPORTED:
        raise InvalidArgument(f"{path}: expected one of {', '.join(REPORTED)}, got {shown(value)}")
    return Source(str(value))


def _secrets(value: object, path: str) -> str:
    return as_member(Secrets)(value, path).value


def _on_break(value: object, path: str) -> str:
    return as_member(OnBreak)(value, path).value


def _providers(value: object, path: str) -> dict[str, str]:
    table = as_mapping(value, path)
    known_keys(table, tuple(task.value for task in TaskType), path)
    return {str(task): _targets(names, f"{path}.{task}") for task, names in table.items()}


def _targets(value: object, path: str) -> str:
    try:
        return written(parse_targets(as_text(value, path, _MOST_ROW)))
    except ValueError:
        raise InvalidArgument(
            f'{path}: expected "provider" or "provider/model", several with commas, {MOST_TARGETS} at most, '
            f"got {shown(value)}"
        ) from None


def _excluded(value: object, path: str) -> tuple[str, ...]:
    rows = as_sequence(value, path, "a list of providers and models")
    if len(rows) > _MOST_EXCLUDED:
        raise InvalidArgument(f"{path}: expected at most {_MOST_EXCLUDED}, got {len(rows)}")
    return tuple(dict.fromkeys(_target(item, f"{path}[{index}]") for index, item in enumerate(rows)))


def _target(value: object, path: str) -> str:
    try:
        return str(Target.parse(as_text(value, path, MAX_ID)))
    except ValueError:
        raise InvalidArgument(f'{path}: expected "provider" or "provider/model", got {shown(value)}') from None


def _reason(value: object, path: str) -> str:
    return as_text(value, path, 256) if value != "" else ""


# the caller's key -> the field and how its value is checked
_USAGE: Fields = {
    "since": ("since", _day),
    "until": ("until", _day),
    "days": ("days", as_integer(1, _MAX_DAYS)),
    "group_by": ("group_by", _groups),
    "label": ("label", _label),
    "all_users": ("all_users", as_boolean),
    "app": ("app", as_name),
}
_LEARNING: Fields = {
    "days": ("days", as_integer(1, _MAX_DAYS)),
    "task_type": ("task_type", _task),
    "all_users": ("all_users", as_boolean),
}
_PREFERENCES: Fields = {
    "providers": ("providers", _providers),
    "strategy": ("strategy", _strategy),
    "learned": ("learned", _learned),
    "local_only": ("local_only", as_boolean),
    "secrets": ("secrets", _secrets),
    "excluded": ("excluded", _excluded),
    "on_break": ("on_break", _on_break),
}
_BUDGET: Fields = {
    "scope": ("scope", _scope),
    "name": ("name", as_name),
    "day_usd": ("day_nano", as_usd),
    "month_usd": ("month_nano", as_usd),
    "remove": ("remove", as_boolean),
}
_OUTCOME: Fields = {
    "reason": ("reason", _reason),
    "labels": ("labels", as_labels),
    "source": ("source", _source),
    "weight": ("part", as_number(0, 1)),
}
