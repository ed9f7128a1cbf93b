"""One TOML value to one setting's type, or the words for what was expected instead."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from cortexd.config.api_kinds import API_KINDS
from cortexd.config.settings import LimitUsd, RateSettings
from cortexd.domain.tasks import TaskType

_MINIMUM_ONE = "a whole number of at least 1"
_MAX_LIMIT_USD = 1_000_000_000  # in nano-dollars it fits into the 64 bits of a bus message
_MAX_THRESHOLDS = 16


class Expectation(Exception):
    """What a setting expects, in words; `path` and `got` where the fault is inside the value."""

    def __init__(self, words: str, path: str = "", got: object = None) -> None:
        super().__init__(words)
        self.path = path
        self.got = got


@cache
def _hints(owner: type) -> dict[str, Any]:
    return get_type_hints(owner)


def coerce(owner: type, key: str, value: object, current: object) -> Any:
    """`value` as the type of `owner.key`; `current` is the value that a mapping is merged over. Raises Expectation."""
    if key.endswith("_usd_per_million"):
        return _decimal_usd(value)
    if key == "api":
        return _choice(value, tuple(API_KINDS))
    kind = _hints(owner)[key]
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(arm for arm in get_args(kind) if arm is not type(None))
    if get_origin(kind) is Literal:
        return _choice(value, get_args(kind))
    if key == "table":
        return {**(current if isinstance(current, dict) else {}), **_routing_table(value)}
    if kind is LimitUsd:
        return _limit(key, value, current)
    if kind == dict[str, LimitUsd]:
        return _limits_by_name(key, value, current)
    if kind == frozenset[TaskType]:
        return frozenset(_task(item) for item in _strings(value))
    return _COERCERS[kind](value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise Expectation("true or false")
    return value


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Expectation(_MINIMUM_ONE)
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise Expectation("a number of seconds, 0 or more")
    return float(value)


def _string(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Expectation("a text that is not empty")
    return value


def _path(value: object) -> Path:
    path = Path(_string(value))
    if not path.is_absolute():
        raise Expectation("an absolute path")
    return path


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Expectation("a list of texts")
    return tuple(value)


def _choice(value: object, choices: tuple[str, ...]) -> str:
    if value not in choices or not isinstance(value, str):
        raise Expectation(f"one of {', '.join(map(repr, choices))}")
    return value


def _task(value: object, path: str = "") -> TaskType:
    try:
        return TaskType(str(value))
    except ValueError:
        raise Expectation(f"task types ({', '.join(TaskType)})", path, value) from None


def _routing_table(value: object) -> dict[TaskType, str]:
    if not isinstance(value, dict):
        raise Expectation("a table of task type = provider")
    return {_task(key, f"table.{key}"): _provider(key, provider) for key, provider in value.items()}


def _provider(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Expectation("a provider's name", f"table.{key}", value)
    return value


def _decimal_usd(value: object) -> str:
    amount = _finite(value)
    if amount is None or not 0 <= amount <= 1_000_000:
        raise Expectation('USD per million tokens as text, such as "0.35"')
    return str(value)


def _rate(value: object) -> RateSettings:
    keys = set(_hints(RateSettings))
    if not isinstance(value, dict) or set(value) != keys:
        raise Expectation(f"a table with {' and '.join(sorted(keys))}")
    return RateSettings(**{key: _decimal_usd(amount) for key, amount in value.items()})


def _limit(path: str, value: object, current: object) -> LimitUsd:
    """The amounts that are given, over those of `current`."""
    keys = tuple(_hints(LimitUsd))
    if not isinstance(value, dict):
        raise Expectation(f"a table with {' and '.join(keys)}", path, value)
    for key, amount in value.items():
        if key not in keys:
            raise Expectation(f"one of {', '.join(keys)}", f"{path}.{key}", amount)
    amounts = {key: _limit_usd(f"{path}.{key}", amount) for key, amount in value.items()}
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


def _limit_usd(path: str, value: object) -> str:
    amount = _finite(value)
    if amount is None or not 0 <= amount <= _MAX_LIMIT_USD or int(amount.as_tuple().exponent) < -9:
        raise Expectation('USD, 0 or more, with at most nine decimals, such as "2.50"', path, value)
    return str(value)


def _finite(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def _fractions(value: object) -> tuple[float, ...]:
    """Ascending, each once."""
    items: list[Any] = value if isinstance(value, list) and len(value) <= _MAX_THRESHOLDS else [None]
    if not all(isinstance(item, int | float) and not isinstance(item, bool) and 0 < item <= 1 for item in items):
        raise Expectation(f"a list of at most {_MAX_THRESHOLDS} numbers above 0 and up to 1")
    return tuple(sorted({float(item) for item in items}))


_COERCERS: dict[Any, Callable[[object], Any]] = {
    bool: _boolean,
    int: _integer,
    float: _seconds,
    str: _string,
    Path: _path,
    tuple[str, ...]: _strings,
    tuple[float, ...]: _fractions,
    RateSettings: _rate,
}
