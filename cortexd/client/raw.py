"""Answers in a vendor's own words: whole, or as they arrive."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from cortexd.client.pipe import MAX_LINE_BYTES
from cortexd.client.reading import Reading
from cortexd.client.results import Completion
from cortexd.client.stream_events import DoneEvent
from cortexd.connection import wire
from cortexd.errors import CortexError, Internal, InvalidArgument

Body = str | bytes | Mapping[str, Any]
_RAW = b'{"type":"raw","bytes":'


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """`body`: JSON text as the vendor's API has it. `completion` says what it took; its `content` is empty."""

    body: str
    completion: Completion

    @property
    def lane(self) -> str:
        """raw where it is the provider's own text, else translated."""
        return str(self.completion.metadata.get("lane", ""))

    @property
    def lost(self) -> tuple[str, ...]:
        """What of the request's body a translation left out."""
        return tuple(self.completion.metadata.get("lost", ()))


@dataclass(frozen=True, slots=True)
class HeadEvent:
    """Who answers, and how; comes before the first bytes. `lane` and `lost`: see RawAnswer."""

    provider: str
    model: str
    reason: str
    lane: str
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BytesEvent:
    """The next of the vendor's event stream: whole Server-Sent Events."""

    data: bytes


RawEvent = HeadEvent | BytesEvent | DoneEvent


class RawStream(Reading[RawEvent]):
    """An async iterator over the bytes of an event stream in a vendor's own words; events() tells everything else too.

    Begins and ends as Stream does. Where it fails after its first bytes the service puts the failure in the vendor's
    words at their end; `told`: the service has said how it ended, so that nothing is missing there.
    """

    def __init__(self, begin: Callable[[], Awaitable[tuple[str, int]]], timeout_s: float) -> None:
        super().__init__(begin, timeout_s)
        self.told = False
        self._frames = Frames()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while True:
            event = await self.next_event()
            if isinstance(event, BytesEvent):
                return event.data

    def _taken(self, event: RawEvent) -> RawEvent:
        if isinstance(event, DoneEvent):
            self._completion = event.completion
        return event

    def _sort(self, data: bytes) -> None:
        """Bytes that came together are one event."""
        together: list[bytes] = []
        try:
            for frame in self._frames.feed(data):
                if isinstance(frame, bytes):
                    together.append(frame)
                elif self._say(frame, together):
                    return
        finally:
            self._flush(together)

    def _say(self, row: dict[str, Any], together: list[bytes]) -> bool:
        """Whether that was the end. Raises the failure that it is."""
        event = _event_of(row)
        if event is None:
            return False
        self._flush(together)
        self.told = not isinstance(event, HeadEvent)
        if isinstance(event, CortexError):
            raise event
        self._ready.append(event)
        if self.told:
            self._end(None)
        return self.told

    def _flush(self, together: list[bytes]) -> None:
        if together:
            self._ready.append(BytesEvent(b"".join(together)))
            together.clear()


class Frames:
    """Cuts what a pipe brings into lines of JSON and, after each one of type raw, the bytes that it announces."""

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._due: int | None = None
        self._looked = 0  # so far there is no line's end

    def feed(self, data: bytes) -> Iterator[bytes | dict[str, Any]]:
        """Those that are whole now. Raises Internal for what is none."""
        self._buffer += data
        at = 0
        while (end := self._end(at)) is not None:
            frame = bytes(self._buffer[at:end])
            at = end + (self._due is None)
            self._looked = at
            if self._due is not None:
                self._due = None
                yield frame
            elif frame.startswith(_RAW):
                self._due = _length(frame)
            else:
                yield _row(frame)
        del self._buffer[:at]
        self._looked = len(self._buffer)
        if len(self._buffer) > self._max_bytes:
            raise Internal(f"the stream cannot be read: a part of more than {self._max_bytes:,} bytes")

    def _end(self, at: int) -> int | None:
        if self._due is not None:
            return at + self._due if len(self._buffer) >= at + self._due else None
        found = self._buffer.find(b"\n", max(at, self._looked))
        return None if found < 0 else found


def body_out(body: Body) -> str:
    """The body as JSON text, as it is where it is text. Raises InvalidArgument."""
    try:
        if isinstance(body, Mapping):
            return json.dumps(body, ensure_ascii=False, allow_nan=False)
        return body if isinstance(body, str) else bytes(body).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"body: cannot be sent as JSON text: {error}") from None


def _length(frame: bytes) -> int:
    digits = frame[len(_RAW) : -1]
    if not digits.isdigit() or not frame.endswith(b"}") or int(digits) > MAX_LINE_BYTES:
        raise Internal("the stream cannot be read: no length of what follows")
    return int(digits)


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise Internal("the stream cannot be read: a line that is no JSON object")
    return row


def _event_of(row: dict[str, Any]) -> HeadEvent | DoneEvent | CortexError | None:
    """None for a type that this version does not know. Raises Internal."""
    try:
        match row.get("type"):
            case "head":
                return _head(row)
            case "done":
                return DoneEvent(Completion.of("", row["metadata"]))
            case "error":
                return wire.error_from(row["name"], row.get("message", ""))
    except (TypeError, LookupError, AttributeError) as error:
        raise Internal(f"the stream cannot be read: {type(error).__name__} in an event") from None
    return None


def _head(row: dict[str, Any]) -> HeadEvent:
    get = row.get
    lost = tuple(get("lost", ()))
    return HeadEvent(get("provider", ""), get("model", ""), get("reason", ""), get("lane", ""), lost)
