"""A vendor's answer as it came, byte for byte, beside what is read of it."""

from __future__ import annotations

import re

import msgspec

from cortexd.domain.raw import RawCall
from cortexd.providers.failures import malformed
from cortexd.providers.sse import MAX_EVENT_BYTES

MOST_KEPT = 8 * 1024 * 1024
"""Bytes of a stream that are kept for who comes for it again: of one twice as long nothing would be."""
_MOST_HELD = 2 * MAX_EVENT_BYTES  # of an event that has begun, comments included
_ENDS = (b"\n\n", b"\n\r\n", b"\r\r")
_MOST_END = max(map(len, _ENDS)) - 1  # of one that is cut
_EVENT = re.compile(rb".*?(?:\n\r?\n|\r\r\n?)", re.DOTALL)
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


class RawStream:
    """The bytes of one stream's events: whole ones are `taken`, the beginning of one waits for its end.

    `kept`: all that was taken, None where nobody wants it or where it is too much.
    """

    def __init__(self, call: RawCall) -> None:
        self._unasked = call.unasked
        self._whole: list[bytes] = []
        self._rest = bytearray()  # in place, so that a long event in small packets costs no square
        self._kept: bytearray | None = bytearray() if call.keeps else None

    @property
    def kept(self) -> bytes | None:
        return None if self._kept is None else bytes(self._kept)

    def add(self, chunk: bytes) -> None:
        """Raises ProviderError for an event without end."""
        before = bytes(self._rest[-_MOST_END:])
        end = _end(before + chunk) - len(before)
        if end > 0:
            self._whole += filter(None, [bytes(self._rest), chunk[:end]])
            self._rest.clear()
            chunk = chunk[end:]
        self._rest += chunk
        if len(self._rest) > _MOST_HELD:
            raise malformed(f"a stream event is larger than {MAX_EVENT_BYTES} bytes")

    def take(self, *, last: bool = False) -> bytes:
        """What can be told now; `last`: the end has come, and what has begun is told too."""
        taken = b"".join([*self._whole, self._rest] if last else self._whole)
        self._whole = []
        if last:
            self._rest.clear()
        if self._unasked is not None and _NO_CHOICES.search(taken):
            taken = self._without_unasked(taken)
        self.keep(taken)
        return taken

    def keep(self, data: bytes) -> None:
        if self._kept is not None:
            self._kept += data
            if len(self._kept) > MOST_KEPT:
                self._kept = None

    def _without_unasked(self, events: bytes) -> bytes:
        assert self._unasked is not None
        found = _EVENT.findall(events)
        tail = events[sum(map(len, found)) :]
        return b"".join(event for event in (*found, tail) if not self._unasked(_data(event)))


def _end(data: bytes) -> int:
    """Where the last whole event ends; 0 where there is none."""
    if data.endswith(b"\n\n"):
        return len(data)
    return max(at + len(end) if (at := data.rfind(end)) >= 0 else 0 for end in _ENDS)


def _data(event: bytes) -> bytes:
    lines = (line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
    return b"\n".join(lines)


def whole_body(body: bytes) -> bytes | None:
    """A body that can be told as it came: one JSON object. None for another form. Raises ProviderError where it is not
    valid Unicode."""
    try:
        body.decode()
    except UnicodeDecodeError:
        raise malformed("the answer is not valid UTF-8") from None
    try:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return None
    return body
