"""Server-sent events from raw bytes: only their data, decoded by whoever knows its shape."""

from __future__ import annotations

from collections.abc import Iterator

from cortexd.providers.failures import malformed

MAX_EVENT_BYTES = 1024 * 1024


class EventSplitter:
    """Cuts a byte stream, however it arrives, into the data of its events."""

    def __init__(self) -> None:
        self._rest = bytearray()  # of a line that has not ended; in place, so that an endless one costs no square
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of each event that `chunk` completes. Raises ProviderError for one beyond MAX_EVENT_BYTES."""
        lines = chunk.split(b"\n")
        if self._rest and len(lines) > 1:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        self._rest += lines.pop()
        for line in lines:
            if line.startswith(b"data:"):
                self._take(line[5:])
            elif self._data and not line.rstrip(b"\r"):
                yield self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                self._data, self._size = [], 0
        self._check(self._size + len(self._rest))

    def _take(self, data: bytes) -> None:
        self._data.append(data.strip())
        self._size += len(data)
        self._check(self._size)

    def _check(self, size: int) -> None:
        if size > MAX_EVENT_BYTES:
            raise malformed(f"a stream event is larger than {MAX_EVENT_BYTES} bytes")
