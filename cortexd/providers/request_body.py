"""What both vendors' request bodies share: JSON, whose long texts and images are written while they are sent.

Whole, a photo's JSON would be 1.33 times the photo, held as long as the provider works, and once more by the socket.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from cortexd.domain.messages import Answer, ToolCall
from cortexd.errors import Failure, ProviderError
from cortexd.providers.conversation import CallNames
from cortexd.validation import base64_length

_LONG = 128 * 1024  # characters or bytes of a value that is written piece by piece
_PIECE = 192 * 1024  # a multiple of three: base64 without padding in between
_SHORT = frozenset({int, float, bool, type(None)})
_GAP = msgspec.Raw(b"\0")  # what JSON cannot hold stands for a long value


class Joined(tuple[str | bytes, ...]):
    """One string of the JSON: texts, and bytes as base64, one after the other."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class LongBody:
    """A body of `length` bytes, made anew by each iteration. `fragments` of JSON, and between each two a long value."""

    fragments: tuple[bytes, ...]
    values: tuple[Joined, ...]
    length: int

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces():
            yield piece

    def pieces(self) -> Iterator[bytes]:
        yield self.fragments[0]
        for value, fragment in zip(self.values, self.fragments[1:], strict=True):
            yield b'"'
            for part in value:
                yield from _pieces(part)
            yield b'"' + fragment


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A request as JSON, the names of the options that were left out of it, and what its answer's tool calls are called
    by the caller."""

    content: bytes | LongBody
    dropped_options: tuple[str, ...] = ()
    streamed: bool = False
    names: CallNames = field(default_factory=CallNames)

    def own_call(self, call: ToolCall) -> ToolCall:
        """A tool call of the answer as the caller knows it."""
        return self.names.own_call(call)

    def own_answer(self, answer: Answer) -> Answer:
        """The answer to this request as the caller knows it."""
        if not answer.tool_calls and self.dropped_options == answer.dropped_options:
            return answer
        calls = tuple(map(self.own_call, answer.tool_calls))
        return replace(answer, tool_calls=calls, dropped_options=self.dropped_options)

    def whole(self) -> bytes:
        """All of the JSON in one piece."""
        return self.content if isinstance(self.content, bytes) else b"".join(self.content.pieces())

    @property
    def headers(self) -> dict[str, str]:
        """A body that is made on its way would go in HTTP chunks without its length, and some servers refuse those."""
        return {"Content-Length": str(self.content.length)} if isinstance(self.content, LongBody) else {}


def encode(value: dict[str, Any]) -> bytes | LongBody:
    """`value` as JSON. `bytes` in it become base64. Raises ProviderError (refused request) for text that is not valid
    Unicode."""
    long: list[Joined] = []
    try:
        json = msgspec.json.encode(_with_gaps(value, long))
        if not long:
            return json
        length = len(json) + sum(map(_length, long)) + len(long)  # two quotation marks for each gap
    except UnicodeEncodeError:
        raise ProviderError(Failure.REFUSED, "the request holds text that is not valid Unicode") from None
    return LongBody(tuple(json.split(b"\0")), tuple(long), length)


def as_is(json_text: str) -> msgspec.Raw:
    """JSON text to be put into a body unchanged: no number loses a digit, no key its place."""
    return msgspec.Raw(json_text.encode("utf-8", "surrogatepass"))


def _with_gaps(value: Any, long: list[Joined]) -> Any:
    """`value` with a gap in place of each long string, which goes to `long`."""
    kind = type(value)
    if kind is dict:
        return {
            key: item if (type(item) is str and len(item) <= _LONG) or type(item) in _SHORT else _with_gaps(item, long)
            for key, item in value.items()
        }
    if kind is list:
        return [_with_gaps(item, long) for item in value]
    if kind is Joined:
        return _joined(value, long)
    if kind is bytes or (kind is str and len(value) > _LONG):
        return _joined(Joined((value,)), long)
    return value


def _joined(value: Joined, long: list[Joined]) -> Any:
    if sum(map(len, value)) > _LONG:
        long.append(value)
        return _GAP
    return "".join(part if isinstance(part, str) else b64encode(part).decode() for part in value)


def _length(value: Joined) -> int:
    """Bytes between the quotation marks."""
    return sum(base64_length(part) if isinstance(part, bytes) else sum(map(len, _pieces(part))) for part in value)


def _pieces(part: str | bytes) -> Iterator[bytes]:
    for start in range(0, len(part), _PIECE):
        piece = part[start : start + _PIECE]
        yield b64encode(piece) if isinstance(piece, bytes) else msgspec.json.encode(piece)[1:-1]
