"""The events of a streamed answer, as an SDK or a fake in its place gives them, for the vendor's collector."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator
from typing import Any

from cortexd.domain.messages import Answer, Usage
from cortexd.library.in_process.seeing import encode, seen
from cortexd.providers.kinds import ApiKind

_EVENTS = "text/event-stream"
_NOTHING: tuple[object, ...] = ({}, None, [], "")


class StreamReader:
    """Reads one stream: `pieces` or `async_pieces` to the end, then `answer`. They raise ProviderError for an error in
    the stream, a malformed event and a stream that is no answer, and what the SDK raises as it is."""

    def __init__(self, kind: ApiKind, model: str, max_bytes: int) -> None:
        self._kind, self._call = kind, kind.sdk_call
        self._collector = kind.collector(model, max_bytes)

    def pieces(self, events: Any) -> Generator[str, None, None]:
        """The text in each event. What comes, or fails, after the answer's end changes nothing."""
        try:
            for event in events:
                if piece := self._fed(event):
                    yield piece
        except Exception:
            if not self._collector.complete:
                raise
        if piece := self._taken(last=True):
            yield piece

    async def async_pieces(self, events: Any) -> AsyncGenerator[str, None]:
        """As `pieces`."""
        try:
            async for event in _each(events):
                if piece := self._fed(event):
                    yield piece
        except Exception:
            if not self._collector.complete:
                raise
        if piece := self._taken(last=True):
            yield piece

    def answer(self, events: Any) -> Answer:
        end, read = self._call.unseen_end, last_read(events)
        # A fake has no such event; of the SDK's own streams the bytes are known.
        if end is not None and (read is None or _has_event(read, end)):
            self._collector.feed(end)
        if read is None:
            self._collector.finish()
        return self._collector.answer()

    @property
    def usage(self) -> Usage | None:
        """What the provider has reported so far."""
        return self._collector.usage

    def _fed(self, event: Any) -> str:
        row = seen(event, self._call.event)
        silent = row == {} if self._collector.names else row in _NOTHING
        if not silent or self._kind.sdk.made(event):  # a heartbeat's, or a fake's, may say nothing
            self._collector.feed(encode(row))
        return self._taken()

    def _taken(self, *, last: bool = False) -> str:
        return "".join(delta for delta in self._collector.take(last=last) if isinstance(delta, str))


def last_read(events: Any) -> bytes | None:
    """The last bytes that one of our clients' streams (vendor_clients) has read; None for any other object."""
    source = getattr(getattr(events, "response", None), "stream", None)
    tail = getattr(source, "tail", None)
    return tail if isinstance(tail, bytes) else None


def unstreamed(given: Any) -> Any:
    """The response of a server that cannot stream and answered in one piece, of which an SDK makes a stream without
    events; None for any other object."""
    if last_read(given) is None or given.response.headers.get("content-type", "").lower().startswith(_EVENTS):
        return None
    return given.response


def _has_event(read: bytes, data: bytes) -> bool:
    return re.search(rb"(?:\A|[\r\n])data: *" + re.escape(data) + rb"[^\r\n]*(?:\r?\n){2}", read) is not None


async def _each(events: Any) -> AsyncGenerator[Any, None]:
    """The items of an asynchronous iterable, or of a plain one in its place."""
    if hasattr(events, "__aiter__"):
        async for event in events:
            yield event
    else:
        for event in events:
            yield event
