"""Function calls as they grow in a stream.

An item's place (`output_index`) says what belongs to it, and its id where it has no place: GitHub Copilot gives an item
another id with each event, and transformers serve (5.24) has two items at one place, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

from cortexd.domain.messages import ToolCall
from cortexd.providers.collecting import paired
from cortexd.providers.decoding import json_text
from cortexd.providers.responses.answer import Item
from cortexd.providers.tool_calls import RawCall, arguments_text, check_count, is_blank


class Growing:
    """A call as far as it has come. `call`: what was given of it, once it was whole."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.call: ToolCall | None = None
        self._arguments = StringIO()

    @property
    def half(self) -> bool:
        """Whether the provider has not called it whole."""
        return self.item.unfinished

    @property
    def blank(self) -> bool:
        """Whether no arguments have come; there may be none."""
        return is_blank(self._arguments.getvalue())

    def write(self, piece: str) -> None:
        self._arguments.write(piece)

    def take(self, arguments: object) -> str:
        """All of its arguments at once. Returns what is new in them."""
        if is_blank(arguments):
            return ""
        text, before = arguments if isinstance(arguments, str) else json_text(arguments), self._arguments.getvalue()
        if text == before:
            return ""
        self._arguments = StringIO()
        self._arguments.write(text)
        return text.removeprefix(before)

    def end(self, item: Item) -> str:
        """What the provider says of it at last. Returns what is new in its arguments."""
        self.item.call_id = self.item.call_id or item.call_id
        self.item.name = self.item.name or item.name
        self.item.status = item.status
        return self.take(item.arguments)

    def raw(self) -> RawCall:
        raw = self.item.raw()
        return RawCall(raw.id, raw.name, paired(self._arguments.getvalue()))

    def text(self) -> str | None:
        """Its arguments as JSON; None where they are none, or not all of it."""
        return arguments_text(self.raw().arguments)


class Calls:
    """All calls of one answer, in the order in which they began."""

    def __init__(self) -> None:
        self._all: list[Growing] = []
        self._by_place: dict[int, Growing] = {}
        self._by_id: dict[str, Growing] = {}

    def __iter__(self) -> Iterator[Growing]:
        return iter(self._all)

    def begin(self, item: Item, place: object, id_: object = None) -> Growing:
        """Raises ProviderError for one call too many."""
        check_count(len(self._all) + 1)
        growing = Growing(item)
        self._all.append(growing)
        if isinstance(place, int):
            self._by_place[place] = growing
        for known in (item.id, id_):
            if isinstance(known, str) and known:
                self._by_id[known] = growing
        return growing

    def leave(self, place: object) -> None:
        """Something that is no call has begun there."""
        if isinstance(place, int):
            self._by_place.pop(place, None)

    def at(self, place: object, id_: object) -> Growing | None:
        found = self._by_place.get(place) if isinstance(place, int) else None
        return found or (self._by_id.get(id_) if isinstance(id_, str) else None)

    def is_last(self, growing: Growing) -> bool:
        return growing is self._all[-1]

    def given(self) -> tuple[ToolCall, ...]:
        return tuple(growing.call for growing in self._all if growing.call is not None)

    def knows(self, item: Item) -> bool:
        """Whether a call with that id has begun."""
        return any(growing.item.raw().id == item.raw().id for growing in self._all)
