"""One TOML value to one setting's type, or the words for what was expected instead."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cortexd.config.addresses import (
    endpoint_address,
    parse_address,
    proxy_address,
    proxy_exceptions,
    without_credentials,
)
from cortexd.config.allowed import AllowedSettings, allowed
from cortexd.config.api_kinds import API_KINDS
from cortexd.config.bounds import BOUNDS, Bound
from cortexd.config.headers import header_name, headers
from cortexd.config.ledger_address import ledger_address
from cortexd.config.names import fault_of_name, variable_name
from cortexd.config.outcomes import AutomaticSettings, SourceWeights
from cortexd.config.problems import Expectation, UnknownSetting
from cortexd.config.settings import (
    CAPABILITIES,
    BudgetSettings,
    LearnedSettings,
    LedgerSettings,
    LimitUsd,
    ModelSettings,
    NetworkSettings,
    ProviderSettings,
    RateSettings,
    ReplicaSettings,
    Weights,
)
from cortexd.config.zone import time_zone
from cortexd.domain.messages import LearnedMode, OnBreak, Secrets, Strategy
from cortexd.domain.quirks import Quirk, Quirks
from cortexd.domain.targets import MOST_TARGETS, Target, printed_alone
from cortexd.domain.tasks import TaskType

Figures = TypeVar("Figures", LearnedSettings, Weights, SourceWeights, AutomaticSettings)
Member = TypeVar("Member", bound=StrEnum)

_MAX_THRESHOLDS = 16
_MAX_REPLICAS = 64
_USD_DECIMALS = 9  # nano-dollars are the smallest that is counted


@cache
def _hints(owner: type) -> dict[str, Any]:
    return get_type_hints(owner)


def coerce(owner: type, key: str, value: object, current: object) -> Any:
    """`value` as the type of `owner.key`; `current` is the value that a mapping is merged over. Raises Expectation."""
    if check := _ADDRESSES.get((owner, key)):
        return _address(check, key, value)
    if by_name := _BY_NAME.get(key):
        return by_name(value)
    return _typed(owner, key, value, current)


def _typed(owner: type, key: str, value: object, current: object) -> Any:
    """By its type, whatever it is called."""
    kind = _hints(owner)[key]
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(arm for arm in get_args(kind) if arm is not type(None))
    if get_origin(kind) is Literal:
        return _choice(value, get_args(kind))
    if kind in (int, float):
        return _number(value, kind, BOUNDS[owner][key], "a number of seconds" if key.endswith("_s") else "a number")
    if merged := _MERGED.get(kind):
        return merged(key, value, current)
    return _COERCERS[kind](value)


def _address(check: Callable[[object], Any], key: str, value: object) -> Any:
    """A wrong address is shown without what may be a password in it."""
    try:
        return check(value)
    except Expectation as fault:
        got = fault.got if fault.path else value
        raise Expectation(str(fault), fault.path or key, _without_credentials(got)) from None


def _without_credentials(value: object) -> object:
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, list):
        return [_without_credentials(item) for item in value]
    return {key: _without_credentials(item) for key, item in value.items()} if isinstance(value, dict) else value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise Expectation("true or false")
    return value


def _number(value: object, kind: type, bound: Bound, what: str) -> int | float:
    """An int where `kind` is int, else a float, `what` in words."""
    what = "a whole number" if kind is int else what
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        raise Expectation(f"{what} {bound}")
    if not bound.holds(value):
        raise Expectation(f"{what} {bound}", why=bound.why if value > bound.most else "")
    return int(value) if kind is int else float(value)


def _string(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Expectation("a text that is not empty")
    return value


def _path(value: object) -> Path:
    text = _string(value)
    if not text.startswith("/") or not text.isprintable():
        raise Expectation("an absolute path")
    return Path(text)


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Expectation("a list of texts")
    return tuple(value)


def _choice(value: object, choices: tuple[str, ...]) -> str:
    if value not in choices or not isinstance(value, str):
        raise Expectation(f"one of {', '.join(repr(str(choice)) for choice in choices)}")
    return value


def _task(value: object, path: str = "") -> TaskType:
    try:
        return TaskType(str(value))
    except ValueError:
        raise Expectation(f"task types ({', '.join(TaskType)})", path, value) from None


def _by_task(what: str, coerced: Callable[[object], Any]) -> Callable[[str, object, Any], dict[TaskType, Any]]:
    """Rows of a table by task type, over those that are there."""

    def merged(path: str, value: object, current: dict[TaskType, Any]) -> dict[TaskType, Any]:
        if not isinstance(value, dict):
            raise Expectation(f"a table of task type = {what}")
        rows = dict(current)
        for task, item in value.items():
            try:
                rows[_task(task, f"{path}.{task}")] = coerced(item)
            except Expectation as fault:
                raise fault if fault.path else Expectation(str(fault), f"{path}.{task}", item) from None
        return rows

    return merged


def _targets(value: object) -> tuple[Target, ...]:
    """One, or several in a list, the first choice first."""
    items = [value] if isinstance(value, str) else value
    try:
        if isinstance(items, list) and 0 < len(items) <= MOST_TARGETS:
            return tuple(dict.fromkeys(Target.parse(_string(item)) for item in items))
    except (ValueError, Expectation):
        pass
    raise Expectation(f'"provider" or "provider/model", or a list of at most {MOST_TARGETS} of these')


def _member(kind: type[Member]) -> Callable[[object], Member]:
    return lambda value: kind(_choice(value, tuple(kind)))


def _models(path: str, value: object, current: object) -> dict[str, ModelSettings]:
    """Each model's settings, over those of `current`."""
    known: dict[str, ModelSettings] = dict(current) if isinstance(current, dict) else {}
    if not isinstance(value, dict):
        raise Expectation('a table of "model" = { … }')
    for name, table in value.items():
        where = f'{path}."{name}"'
        if not isinstance(table, dict) or not printed_alone(name):
            raise Expectation('a table of "model" = { … }, names without blanks', where, table)
        known[name] = _model(where, table, known.get(name, ModelSettings()))
    return known


def _model(path: str, table: dict[str, Any], current: ModelSettings) -> ModelSettings:
    keys = tuple(_hints(ModelSettings))
    changes: dict[str, Any] = {}
    for key, value in table.items():
        if key not in keys:
            raise UnknownSetting(f"{path}.{key}", keys)
        try:
            changes[key] = coerce(ModelSettings, key, value, getattr(current, key))
        except Expectation as fault:
            got = fault.got if fault.path else value
            raise Expectation(str(fault), f"{path}.{fault.path or key}", got, fault.why) from None
    return replace(current, **changes)


def _replicas(path: str, value: object, _current: object) -> tuple[ReplicaSettings, ...]:
    """A later list replaces an earlier one."""
    if not isinstance(value, list) or len(value) > _MAX_REPLICAS:
        raise Expectation(f"a list of at most {_MAX_REPLICAS} tables ([[providers.NAME.{path}]])")
    replicas = tuple(_replica(f"{path}[{number}]", table) for number, table in enumerate(value))
    places = [parse_address(replica.base_url).place for replica in replicas]
    if twice := next((number for number, place in enumerate(places) if place in places[:number]), 0):
        raise Expectation("each address once", path, replicas[twice].base_url)
    return replicas


def _replica(path: str, table: object) -> ReplicaSettings:
    keys = tuple(key for key in _hints(ReplicaSettings) if key != "key")
    if not isinstance(table, dict) or "base_url" not in table:
        raise Expectation("a table with base_url", path, table)
    changes: dict[str, Any] = {}
    for key, value in table.items():
        if key not in keys:
            raise UnknownSetting(f"{path}.{key}", keys)
        try:
            changes[key] = coerce(ReplicaSettings, key, value, None)
        except Expectation as fault:
            raise Expectation(str(fault), f"{path}.{key}", fault.got if fault.path else value, fault.why) from None
    return ReplicaSettings(**changes)


def _credential(value: object) -> str:
    name = _string(value)
    if fault_of_name(name):
        raise Expectation("the name of a credential, as cortexctl credentials set takes it")
    return name


def _quirks(value: object) -> Quirks:
    return frozenset(Quirk(_choice(item, tuple(Quirk))) for item in _strings(value))


def _capabilities(value: object) -> frozenset[str]:
    return frozenset(_choice(item, CAPABILITIES) for item in _strings(value))


def _quality(value: object) -> dict[TaskType | None, float]:
    """By task type; a number alone is for every task."""
    if not isinstance(value, dict) or not value:
        return {None: _grade(value)}
    return {_task(task, f"quality.{task}"): _grade(grade) for task, grade in value.items()}


def _grade(value: object) -> float:
    return _number(value, float, BOUNDS[ModelSettings]["quality"], "a number, or a table of task type = number,")


def _day(value: object) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise Expectation("a day, such as 2026-11-29")
    return value


def _rate(value: object) -> RateSettings:
    """Input and output are needed."""
    hints, needed = _hints(RateSettings), ("input_usd_per_million", "output_usd_per_million")
    if not isinstance(value, dict) or not set(needed) <= set(value) <= set(hints):
        raise Expectation(f"a table with {' and '.join(needed)}")
    return RateSettings(**{key: _usd(RateSettings, key, f"rate.{key}", item) for key, item in value.items()})


def _figures(path: str, value: object, current: Figures) -> Figures:
    """Those that are given, over those of `current`."""
    owner: type = type(current)
    keys = tuple(_hints(owner))
    if not isinstance(value, dict):
        raise Expectation(f"a table with {', '.join(keys)}", path, value)
    for key, weight in value.items():
        if key not in keys:
            raise UnknownSetting(f"{path}.{key}", keys)
        inner: Any = getattr(current, key)
        nested = is_dataclass(inner)
        figure = _figures(f"{path}.{key}", weight, inner) if nested else _figure(owner, key, path, weight, inner)
        current = replace(current, **{key: figure})
    return current


def _figure(owner: type, key: str, path: str, value: object, current: object) -> Any:
    """One of them; where all are parts of a whole, true is all of it and false nothing."""
    if owner is AutomaticSettings and isinstance(value, bool):
        return float(value)
    try:
        return _typed(owner, key, value, current)
    except Expectation as fault:
        within, got = (fault.path, fault.got) if fault.path else (key, value)
        raise Expectation(str(fault), f"{path}.{within}", got, fault.why) from None


def _limit(path: str, value: object, current: object) -> LimitUsd:
    """The amounts that are given, over those of `current`."""
    keys = tuple(_hints(LimitUsd))
    if not isinstance(value, dict):
        raise Expectation(f"a table with {' and '.join(keys)}", path, value)
    for key in value:
        if key not in keys:
            raise UnknownSetting(f"{path}.{key}", keys)
    amounts = {key: _usd(LimitUsd, key, f"{path}.{key}", amount) for key, amount in value.items()}
    return replace(current if isinstance(current, LimitUsd) else LimitUsd(), **amounts)


def _limits_by_name(path: str, value: object, current: object) -> dict[str, LimitUsd]:
    known: dict[str, LimitUsd] = dict(current) if isinstance(current, dict) else {}
    if not isinstance(value, dict):
        raise Expectation("a table of name = { day_usd = …, month_usd = … }")
    for name, amounts in value.items():
        if not name or not name.isprintable() or " " in name:
            raise Expectation("names without blanks", f"{path}.{name!r}", amounts)
        known[name] = _limit(f"{path}.{name}", amounts, known.get(name))
    return known


def _usd(owner: type, key: str, path: str, value: object) -> str:
    """An amount as the text that it was written in."""
    bound, amount = BOUNDS[owner][key], _finite(value)
    if amount is None or int(amount.as_tuple().exponent) < -_USD_DECIMALS:
        raise Expectation(f'USD {bound}, with at most nine decimals, such as "2.50"', path, value)
    if not bound.holds(amount):
        raise Expectation(f"USD {bound}", path, value, bound.why if amount > bound.most else "")
    return str(value)


def _finite(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        amount = Decimal(value if isinstance(value, int) else str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def _fractions(value: object) -> tuple[float, ...]:
    """Ascending, each once."""
    bound = BOUNDS[BudgetSettings]["thresholds"]
    items: list[Any] = value if isinstance(value, list) and len(value) <= _MAX_THRESHOLDS else [None]
    if not all(isinstance(item, int | float) and not isinstance(item, bool) and bound.holds(item) for item in items):
        raise Expectation(f"a list of at most {_MAX_THRESHOLDS} numbers {bound}")
    return tuple(sorted({float(item) for item in items}))


_ADDRESSES: dict[tuple[type, str], Callable[[object], Any]] = {
    (ProviderSettings, "base_url"): endpoint_address,
    (ReplicaSettings, "base_url"): endpoint_address,
    (NetworkSettings, "proxy"): proxy_address,
    (NetworkSettings, "no_proxy"): proxy_exceptions,
    (LedgerSettings, "url"): ledger_address,
    (LedgerSettings, "time_zone"): time_zone,
}
_COERCERS: dict[Any, Callable[[object], Any]] = {
    bool: _boolean,
    str: _string,
    Path: _path,
    tuple[str, ...]: _strings,
    tuple[float, ...]: _fractions,
    RateSettings: _rate,
    OnBreak: _member(OnBreak),
    Secrets: _member(Secrets),
    Strategy: _member(Strategy),
    LearnedMode: _member(LearnedMode),
    date: _day,
    frozenset[TaskType]: lambda value: frozenset(_task(item) for item in _strings(value)),
}
_MERGED: dict[Any, Callable[[str, object, Any], Any]] = {
    AllowedSettings: allowed,
    LimitUsd: _limit,
    **dict.fromkeys((LearnedSettings, Weights), _figures),
    dict[str, LimitUsd]: _limits_by_name,
    dict[str, ModelSettings]: _models,
    tuple[ReplicaSettings, ...]: _replicas,
    dict[TaskType, tuple[Target, ...]]: _by_task("provider, provider/model or a list of these", _targets),
    dict[TaskType, Strategy]: _by_task("strategy", _member(Strategy)),
    dict[TaskType, LearnedMode]: _by_task("mode", _member(LearnedMode)),
}
_BY_NAME: dict[str, Callable[[object], Any]] = {
    "capabilities": _capabilities,
    "quality": _quality,
    "quirks": _quirks,
    "credential": _credential,
    "key_variable": variable_name,
    "auth_header": header_name,
    "headers": headers,
    "api": lambda value: _choice(value, tuple(API_KINDS)),
}
