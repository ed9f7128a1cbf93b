"""What a vendor's body asks for, in the words of the bus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cortexd.errors import InvalidArgument

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """`messages`, all of them, and `options` as the interface file has them; `model`: the name that the program gave.
    `session`: what it calls its conversation, any text. `tells_usage`: the program wants it at a stream's end.

    `lost`: what of the body has no word on the bus and is left out of a translation. `native`: what cannot be left out
    without changing what is asked, so that only a provider of this very API can be; its place in `messages` is taken
    by its name."""

    model: str
    messages: list[dict[str, Any]]
    options: dict[str, Any] = field(default_factory=dict)
    stream: bool = False
    tells_usage: bool = False
    session: str = ""
    lost: tuple[str, ...] = ()
    native: tuple[str, ...] = ()


def check_translatable(asked: Asked) -> None:
    """Raise InvalidArgument for what a model behind another API cannot be asked."""
    if asked.native:
        names = ", ".join(asked.native)
        raise InvalidArgument(f"{names:.200}: only a provider of this API takes that. Ask for a model of one.")


class Missed:
    """What is met on the way through a body that has no word on the bus; each name counts once."""

    def __init__(self) -> None:
        self._lost: dict[str, None] = {}
        self._native: dict[str, None] = {}

    @property
    def lost(self) -> tuple[str, ...]:
        return tuple(self._lost)

    @property
    def native(self) -> tuple[str, ...]:
        return tuple(self._native)

    def leave_out(self, *names: str) -> None:
        self._lost.update(dict.fromkeys(names))

    def need(self, name: str) -> dict[str, Any]:
        """A part that stands for it."""
        self._native[name] = None
        return {"type": "text", "text": f"[{name}]"}


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


def kind_of(value: Body) -> str:
    """Its `type`, as a word that may stand in a name of what is lost."""
    return f"{value.get('type')!s:.40}"


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that say something: the bus takes no None."""
    return {key: value for key, value in values.items() if value is not None}


def content(value: object, path: str, part: Callable[[Body, str], dict[str, Any]]) -> Any:
    """Parts one by one; anything else as it is, for the service to judge."""
    return [part(one, path) for one in rows(value, path)] if isinstance(value, list) else value


def lost(body: Body, known: Sequence[str]) -> tuple[str, ...]:
    """Keys that say something and are not among `known`."""
    return tuple(sorted(key for key, value in body.items() if key not in known and value not in (None, [], {}, False)))


def refuse_kept(body: Body, names: Sequence[str]) -> None:
    """Raise InvalidArgument for what the vendor keeps: nobody here could bound, price or search it."""
    for name in names:
        if body.get(name):
            raise InvalidArgument(f"{name}: expected none, nothing that a vendor keeps. Send the whole conversation.")


def image_of(url: str, path: str, missed: Missed) -> dict[str, Any]:
    """An image part from a data: URL; nothing is fetched for a program. Raises InvalidArgument."""
    if not url.startswith("data:"):
        return missed.need("content.image.url")
    media, comma, data = url.removeprefix("data:").partition(",")
    if not comma or not media.endswith(";base64"):
        raise InvalidArgument(f"{path}: expected a data: URL with base64")
    return {"type": "image", "media_type": media.removesuffix(";base64"), "data": data}


def custom_arguments(value: object) -> dict[str, Any]:
    """What a tool without a schema was called with, as arguments of one that has."""
    return {"input": value}
