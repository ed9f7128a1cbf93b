"""What an SDK's objects say, as JSON values.

The objects are the SDK's models, or whatever a user's fake returns: attributes and keys are read alike, and a fake's
own objects where a value should be (a MagicMock's attribute is no number) count as not there. A JSON value of a wrong
type stays, for the vendor's reader to refuse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cortexd.providers.kinds import Shape


def seen(value: Any, shape: Shape) -> Any:
    """What `value` has of `shape`; fields without a usable value are left out."""
    if shape is None:
        return value if isinstance(value, str | int | float | list | dict) else None
    if isinstance(shape, list):
        return _items(value, shape[0])
    if isinstance(value, str | int | float | list):
        return value
    if value is None or isinstance(value, bytes | tuple):
        return None
    fields = ((name, seen(_field(value, name), inner)) for name, inner in shape.items())
    return {name: found for name, found in fields if found is not None}


def encode(value: Any) -> bytes:
    """As JSON bytes; what is none inside (a fake's object in a tool's input) becomes its text."""
    return json.dumps(value, default=str).encode()


def _items(value: Any, shape: Shape) -> Any:
    if isinstance(value, list | tuple):
        return [seen(item, shape) for item in value]
    if isinstance(value, str | int | float | dict):
        return value
    if value is None or isinstance(value, bytes | Mapping) or not hasattr(value, "__getitem__"):
        return None
    try:  # a MagicMock that was given `.content[0].text` is no list
        first = seen(value[0], shape)
    except (LookupError, TypeError):
        return None
    return [first] if _says_anything(first) else None


def _says_anything(row: Any) -> bool:
    return any(map(_says_anything, row.values())) if isinstance(row, dict) else row is not None


def _field(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    try:
        return getattr(value, name, None)
    except TypeError:  # a property of an SDK's object stumbles over what did not come
        return None
