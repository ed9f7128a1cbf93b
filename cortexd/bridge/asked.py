"""What a vendor's body asks for, in the words of the bus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cortexd.errors import InvalidArgument

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """`messages` and `options` as the interface file has them; `model`: the name that the program gave. `session`: what
    it calls its conversation, any text. `lost`: what of the body has no word on the bus. `goes_on`: the name of an
    answer that this comes after; `system`: what stands before the whole conversation."""

    model: str
    messages: list[dict[str, Any]]
    options: dict[str, Any] = field(default_factory=dict)
    stream: bool = False
    tells_usage: bool = False
    session: str = ""
    lost: tuple[str, ...] = ()
    goes_on: str = ""
    system: str = ""


def text(body: Body, key: str, default: str = "") -> str:
    """Raises InvalidArgument for anything but text."""
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise InvalidArgument(f"{key}: expected text, got {type(value).__name__}")
    return value


def rows(value: object, path: str) -> Sequence[Body]:
    """A list of objects; None is none. Raises InvalidArgument."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise InvalidArgument(f"{path}: expected a list of objects")
    return value


def row(value: object, path: str) -> Body:
    """An object; None is an empty one. Raises InvalidArgument."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidArgument(f"{path}: expected an object, got {type(value).__name__}")
    return value


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that say something: the bus takes no None."""
    return {key: value for key, value in values.items() if value is not None}


def content(value: object, path: str, part: Callable[[Body, str], dict[str, Any]]) -> Any:
    """Parts one by one; anything else as it is, for the service to judge."""
    return [part(one, path) for one in rows(value, path)] if isinstance(value, list) else value


def lost(body: Body, known: Sequence[str]) -> tuple[str, ...]:
    """Keys that say something and are not among `known`."""
    return tuple(sorted(key for key, value in body.items() if key not in known and value not in (None, [], {}, False)))


def image_of(url: str, path: str) -> dict[str, Any]:
    """An image part from a data: URL. Raises InvalidArgument for others: nothing is fetched for a program."""
    media, comma, data = url.removeprefix("data:").partition(",")
    if not url.startswith("data:") or not comma or not media.endswith(";base64"):
        raise InvalidArgument(f"{path}: expected a data: URL with base64; cortexd fetches no images")
    return {"type": "image", "media_type": media.removesuffix(";base64"), "data": data}
