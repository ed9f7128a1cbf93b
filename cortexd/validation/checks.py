"""Checks of single values, each error naming the path and what was expected there."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from cortexd.domain.close_words import close_words
from cortexd.domain.money import from_usd
from cortexd.domain.safe_values import safe_text
from cortexd.errors import InvalidArgument

E = TypeVar("E", bound=StrEnum)
Parser = Callable[[object, str], Any]
Fields = Mapping[str, tuple[str, Parser]]  # key -> field and check

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
LABEL_KEY = re.compile(r"[A-Za-z0-9._-]{1,64}")
MAX_ID = 256
MAX_LABELS = 16
MAX_LABEL_VALUE = 256
_DECIMAL = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
_MAX_USD = 1_000_000_000  # what the ledger's 64-bit nano-dollars can hold


def shown(value: object) -> str:
    text = repr(value) if value is not None else "nothing"
    return safe_text(text if len(text) <= 80 else text[:79] + "…")


def shown_key(key: object) -> str:
    return safe_text(str(key)[:64])


def as_mapping(value: object, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{path}: expected a dictionary, got {shown(value)}")
    return value


def as_sequence(value: object, path: str, what: str = "a list") -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise InvalidArgument(f"{path}: expected {what}, got {shown(value)}")
    return value


def known_keys(row: Mapping[str, Any], keys: tuple[str, ...], path: str) -> None:
    for key in row:
        if key not in keys:
            near = close_words(str(key)[:64], keys)
            hint = f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(keys)}"
            raise InvalidArgument(f"{path}.{shown_key(key)}: unknown key{hint}")


def as_fields(value: object, table: Fields, path: str) -> dict[str, Any]:
    """The fields that a dictionary sets."""
    row = as_mapping(value, path)
    known_keys(row, tuple(table), path)
    return {table[key][0]: table[key][1](item, f"{path}.{key}") for key, item in row.items()}


def as_text(value: object, path: str, limit: int | None = None) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(f"{path}: expected text, got {shown(value)}")
    if limit is not None and not 0 < len(value) <= limit:
        raise InvalidArgument(f"{path}: expected 1 to {limit} characters, got {len(value)}")
    return safe_text(value)


def as_name(value: object, path: str) -> str:
    return as_text(value, path, MAX_ID)


def matching(value: object, pattern: re.Pattern[str], path: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidArgument(f"{path}: expected text that matches {pattern.pattern}, got {shown(value)}")
    return value


def as_number(low: float, high: float) -> Callable[[object, str], float]:
    def parse(value: object, path: str) -> float:
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type,operator]
            raise InvalidArgument(f"{path}: expected a number from {low:g} to {high:g}, got {shown(value)}")
        return float(value)  # type: ignore[arg-type]

    return parse


def as_integer(low: int, high: int) -> Callable[[object, str], int]:
    def parse(value: object, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidArgument(f"{path}: expected a whole number from {low} to {high}, got {shown(value)}")
        return value

    return parse


def as_usd(value: object, path: str) -> int:
    """Dollars, a number or decimal text, in nano-dollars."""
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise InvalidArgument(f'{path}: expected dollars such as "0.10", got {shown(value)}')
        return from_usd(Decimal(value))
    return from_usd(as_number(0, _MAX_USD)(value, path))


def as_boolean(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgument(f"{path}: expected true or false, got {shown(value)}")
    return value


def as_member(kind: type[E]) -> Callable[[object, str], E]:
    def parse(value: object, path: str) -> E:
        if isinstance(value, str) and value in kind._value2member_map_:
            return kind(value)
        raise InvalidArgument(f"{path}: expected one of {', '.join(kind)}, got {shown(value)}")

    return parse


def as_labels(value: object, path: str) -> dict[str, str]:
    table = as_mapping(value, path)
    if len(table) > MAX_LABELS:
        raise InvalidArgument(f"{path}: expected at most {MAX_LABELS} labels, got {len(table)}")
    return {
        matching(key, LABEL_KEY, f"{path} (key)"): as_text(item, f"{path}.{shown_key(key)}", MAX_LABEL_VALUE)
        for key, item in table.items()
    }
