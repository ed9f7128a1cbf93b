"""A caller's messages and options as D-Bus values. The service checks what they mean; this only what can travel."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from cortexd.connection import Written, wire
from cortexd.domain.safe_values import INT64_MAX
from cortexd.errors import InvalidArgument

# JSON is what these hold on the bus; callers may give the value itself
_JSON_TEXT = frozenset({"parameters", "arguments", "response_schema"})
Messages = str | Iterable[Mapping[str, Any]]
Usd = float | str | Decimal


def messages_out(messages: Messages) -> list[Written]:
    """Message dictionaries, or one text as the user's only message. Raises InvalidArgument."""
    rows = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
    return [wire.dictionary(_mapping(row, f"messages[{index}]")) for index, row in enumerate(rows)]


def options_out(options: Mapping[str, Any]) -> Written:
    """Options as plain Python values; None is the same as leaving it out. Raises InvalidArgument."""
    return wire.dictionary(_mapping(options, "options"))


def requests_out(requests: Iterable[tuple[str, Messages]]) -> list[list[Any]]:
    """Task type and messages each. Raises InvalidArgument."""
    rows: list[list[Any]] = []
    for index, request in enumerate(requests):
        if isinstance(request, str) or len(request) != 2:
            raise InvalidArgument(f"requests[{index}]: expected a pair of task type and messages")
        rows.append([str(request[0]), messages_out(request[1])])
    return rows


def outcome_out(
    request_id: str,
    score: float,
    reason: str,
    labels: Mapping[str, str] | None,
    source: str | None = None,
    weight: float | None = None,
) -> list[Any]:
    """ReportOutcome's arguments. Raises InvalidArgument."""
    part = None if weight is None else _real(weight, "details.weight")
    details = options_out({"reason": reason or None, "labels": labels, "source": source, "weight": part})
    return [str(request_id), _real(score, "score"), details]


def usage_query_out(
    since: date | str | None,
    until: date | str | None,
    group_by: str | Iterable[str],
    label: str,
    all_users: bool,
    app: str = "",
    days: int | None = None,
) -> Written:
    """GetUsage's query; what is not asked is left out. Raises InvalidArgument."""
    groups = (group_by,) if isinstance(group_by, str) else tuple(group_by)
    query = {
        "since": _day(since),
        "until": _day(until),
        "days": days,
        "group_by": groups or None,
        "label": label or None,
        "all_users": all_users or None,
        "app": app or None,
    }
    return options_out(query)


def budget_out(scope: str, name: str, day_usd: Usd | None, month_usd: Usd | None, remove: bool) -> Written:
    """SetBudget's argument; what is not given is left out. Raises InvalidArgument."""
    limits = {"day_usd": _usd(day_usd), "month_usd": _usd(month_usd)}
    return options_out({"scope": scope, "name": name or None, **limits, "remove": remove or None})


def own_budget_out(
    day_usd: Usd | None,
    month_usd: Usd | None,
    at_limit: str | None,
    pause_s: int | None,
    more_usd: Usd | None,
    remove: bool,
) -> Written:
    """SetOwnBudget's argument; what is not given is left out. Raises InvalidArgument."""
    amounts = {"day_usd": _usd(day_usd), "month_usd": _usd(month_usd), "more_usd": _usd(more_usd)}
    return options_out({**amounts, "at_limit": at_limit, "pause_s": pause_s, "remove": remove or None})


def hold_answer_out(hold_id: str, answer: str, more_usd: Usd | None) -> list[Any]:
    """AnswerHold's arguments. Raises InvalidArgument."""
    return [str(hold_id), str(answer), options_out({"more_usd": _usd(more_usd)})]


def _day(day: date | str | None) -> str | None:
    """A datetime is a date too: only its day is sent."""
    return day.strftime("%Y-%m-%d") if isinstance(day, date) else day


def _usd(amount: Usd | None) -> float | str | None:
    """Decimals go as text, exactly; whole numbers as what the bus calls a double."""
    if isinstance(amount, Decimal):
        return format(amount, "f")
    return float(amount) if isinstance(amount, int) else amount


def _mapping(value: object, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{path}: expected a dictionary, got {type(value).__name__}")
    plain: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidArgument(f"{path}: expected text as key, got {type(key).__name__}")
        where = f"{path}.{key[:64]}"
        as_json = key in _JSON_TEXT and isinstance(item, Mapping)
        plain[key] = _json(item, where) if as_json else _plain(item, where)
    return plain


def _plain(value: object, path: str) -> Any:
    """`value` in exactly one of the types that wire.dictionary takes."""
    if value is None or isinstance(value, bool):
        return value
    for kind, convert in _CONVERSIONS:
        if isinstance(value, kind):
            return convert(value, path)
    raise InvalidArgument(f"{path}: a value of type {type(value).__name__} cannot be sent")


def _integer(value: int, path: str) -> int:
    if abs(value) > INT64_MAX:
        raise InvalidArgument(f"{path}: expected a whole number of at most 64 bits")
    return int(value)


def _real(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise InvalidArgument(f"{path}: expected a finite number, got {value}")
    return float(value)


def _list(value: Iterable[object], path: str) -> list[dict[str, Any]] | tuple[str, ...]:
    items = list(value)
    if items and all(isinstance(item, str) for item in items):
        return tuple(str(item) for item in items)
    return [_mapping(item, f"{path}[{index}]") for index, item in enumerate(items)]


def _json(value: object, path: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"{path}: cannot be written as JSON: {error}") from None


_CONVERSIONS: tuple[tuple[type | tuple[type, ...], Callable[[Any, str], Any]], ...] = (
    (str, lambda value, _path: str(value)),
    (int, _integer),
    (float, _real),
    ((bytes, bytearray, memoryview), lambda value, _path: bytes(value)),
    (Mapping, _mapping),
    ((list, tuple), _list),
)
