"""Conversations that a later request goes on with by the name of an answer, as OpenAI's responses do. In memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from cortexd.errors import InvalidArgument
from cortexd.formats.asked import text

_MOST = 256
_MOST_BYTES = 64 * 1024 * 1024
_GOES_ON = "previous_response_id"

Items = list[dict[str, Any]]


class Conversations:
    """At most so many, and so many bytes; the oldest go first."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, tuple[Items, int]] = OrderedDict()
        self._bytes = 0

    def whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body with all that was said up to the answer that it goes on from. Raises InvalidArgument."""
        name = text(body, _GOES_ON)
        if not name:
            return body
        if name not in self._kept:
            raise InvalidArgument(f"{_GOES_ON}: nothing is kept of {name!r:.80}. Send the whole conversation.")
        rest = {key: value for key, value in body.items() if key != _GOES_ON}
        return {**rest, "input": [*self._kept[name][0], *items_of(body)]}

    def keep(self, name: str, items: Items) -> None:
        """All that was said up to the answer `name`, and that."""
        size = len(msgspec.json.encode(items))
        _, before = self._kept.pop(name, ([], 0))  # an answer that is given again has its name again
        self._bytes -= before
        self._kept[name] = items, size
        self._bytes += size
        while len(self._kept) > _MOST or self._bytes > self._most_bytes:
            _, (_, gone) = self._kept.popitem(last=False)
            self._bytes -= gone


def items_of(body: dict[str, Any]) -> Items:
    """The input of a body; text is one item."""
    given = body.get("input")
    return given if isinstance(given, list) else [{"role": "user", "content": given}]
