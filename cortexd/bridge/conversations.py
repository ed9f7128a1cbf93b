"""Conversations that a later request goes on with by the name of an answer, as OpenAI's responses do. In memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from cortexd.client import Completion
from cortexd.errors import InvalidArgument

_MOST = 256
_MOST_BYTES = 64 * 1024 * 1024

Messages = list[dict[str, Any]]


class Conversations:
    """At most so many, and so many bytes; the oldest go first."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, tuple[Messages, int]] = OrderedDict()
        self._bytes = 0

    def before(self, name: str) -> Messages:
        """What was said up to the answer of that name. Raises InvalidArgument."""
        if not name:
            return []
        try:
            return self._kept[name][0]
        except KeyError:
            raise InvalidArgument(
                f"previous_response_id: nothing is kept of {name!r:.80}. Send the whole conversation."
            ) from None

    def keep(self, name: str, messages: Messages, completion: Completion) -> None:
        said: dict[str, Any] = {"role": "assistant", "content": completion.content}
        if completion.tool_calls:
            calls = [{"id": one.id, "name": one.name, "arguments": one.arguments} for one in completion.tool_calls]
            said["tool_calls"] = calls
        whole = [*messages, said]
        size = len(msgspec.json.encode(whole))
        _, before = self._kept.pop(name, ([], 0))  # an answer that is given again has its name again
        self._bytes -= before
        self._kept[name] = whole, size
        self._bytes += size
        while len(self._kept) > _MOST or self._bytes > self._most_bytes:
            _, (_, gone) = self._kept.popitem(last=False)
            self._bytes -= gone
