"""Conversations that a later request goes on with by the name of an answer, as OpenAI's responses do. In memory."""

from __future__ import annotations

import re
from collections import OrderedDict

import msgspec

from cortexd.errors import InvalidArgument
from cortexd.formats import put, value_of

_MOST = 256
_MOST_BYTES = 64 * 1024 * 1024
_GOES_ON = "previous_response_id"
_ENDS = (b"response.completed", b"response.incomplete")
_DATA = re.compile(rb"^data:([^\r\n]*)", re.MULTILINE)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_EVENT_END = re.compile(rb"\r?\n\r?\n")


class _Response(msgspec.Struct):
    id: str
    output: msgspec.Raw


class _End(msgspec.Struct):
    type: str
    response: _Response


class Conversations:
    """The items of each, as JSON text: at most so many, and so many bytes; the oldest go first."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def whole(self, body: bytes, name: object) -> bytes:
        """The body with all that was said up to the answer of that name. Raises InvalidArgument."""
        if not name:
            return body
        before = self._kept.get(name) if isinstance(name, str) else None
        if before is None:
            raise InvalidArgument(f"{_GOES_ON}: nothing is kept of {name!r:.80}. Send the whole conversation.")
        return put(body, {"input": _list(before, _items(body)), _GOES_ON: b"null"})

    def keep(self, body: bytes, answer: bytes) -> None:
        """What a whole body has asked and a response has said; nothing of what is none."""
        try:
            response = msgspec.json.decode(answer, type=_Response)
        except _UNREADABLE:
            return
        self._keep(response, body)

    def keep_streamed(self, body: bytes, events: bytes) -> None:
        """The same of a response that ends with these events."""
        if not any(word in events for word in _ENDS):
            return
        for event in _EVENT_END.split(events):
            try:
                end = msgspec.json.decode(b"\n".join(_DATA.findall(event)), type=_End)
            except _UNREADABLE:
                continue
            if end.type.encode() in _ENDS:
                self._keep(end.response, body)

    def _keep(self, response: _Response, body: bytes) -> None:
        items = _list(_items(body), _inner(bytes(response.output)))
        self._bytes -= len(self._kept.pop(response.id, b""))  # an answer that is given again has its name again
        self._kept[response.id] = items[1:-1]
        self._bytes += len(items) - 2
        while len(self._kept) > _MOST or self._bytes > self._most_bytes:
            self._bytes -= len(self._kept.popitem(last=False)[1])


def _items(body: bytes) -> bytes:
    """The input of a body as items, without the brackets; text is one of them."""
    given = value_of(body, "input") or b"[]"
    return _inner(given) if given.startswith(b"[") else b'{"role":"user","content":' + given + b"}"


def _inner(items: bytes) -> bytes:
    return items[1:-1].strip()


def _list(*items: bytes) -> bytes:
    return b"[" + b",".join(filter(None, items)) + b"]"
