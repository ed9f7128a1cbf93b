"""Server-sent events from raw bytes, as the standard reads them (WHATWG HTML, "9.2.6 Interpreting an event stream").

Lines end with LF, CR or CRLF, also mixed and cut between packets; a byte order mark at the start, comments, ids, retry
times and unknown fields are passed over; what has no blank line after it is no event. Two things beyond it: an event
whose data is blank is none, nor is {} or null without a name (proxies keep slow streams alive so, AgentRouter:
Kilo-Org/kilocode#3083); and a field `error:` is an event of that name (llama.cpp before b6556,
github.com/ggml-org/llama.cpp/pull/16109).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from cortexd.providers.failures import malformed

MAX_EVENT_BYTES = 1024 * 1024
ERROR = "error"
NOTHING = frozenset({b"{}", b"null", b"[]", b'""'})
MOST_NOTHING = max(map(len, NOTHING))
_BOM = b"\xef\xbb\xbf"
_END = b"\n\n"
_DATA = b"data:"


class EventSplitter:
    """Cuts a byte stream, however it arrives, into its events."""

    def __init__(self) -> None:
        self._rest = bytearray()  # of a line that has not ended; in place, so that an endless one costs no square
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0
        self._begun = False
        self._after_cr = False

    @property
    def held_bytes(self) -> int:
        """Of the event that has begun; a comment adds nothing."""
        return self._size + (0 if self._rest.startswith(b":") else len(self._rest))

    def usual(self, chunk: bytes, names: Collection[bytes]) -> tuple[bytes, list[bytes], bytes] | None:
        """`chunk` in three parts: the end of an event that has begun, the lines of data of whole events in their usual
        form, and what follows. None where it holds none, or another.

        Usual is one line of data, after it a blank one, and before it one of `names`, or nothing where there are none.
        """
        if b"\r" in chunk or len(chunk) > MAX_EVENT_BYTES:
            return None
        start = 0 if self._between else chunk.find(_END) + len(_END)
        end = chunk.rfind(_END) + len(_END)
        step = 3 if names else 2
        lines = chunk[start:end].split(b"\n")[:-1]
        data = lines[step - 2 :: step]
        if not data or len(lines) % step or any(lines[step - 1 :: step]):
            return None
        if names and not all(map(names.__contains__, lines[::step])):
            return None
        if not all(line.startswith(_DATA) for line in data):
            return None
        return chunk[:start], data, chunk[end:]

    @property
    def _between(self) -> bool:
        """Whether no event has begun, nor can what comes be the mark at the start."""
        return self._begun and not (self._after_cr or self._rest or self._name or self._data)

    def feed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        """Name ("" where there is none) and data of each event that `chunk` completes. Raises ProviderError for one
        beyond MAX_EVENT_BYTES."""
        if self._after_cr or not self._begun or b"\r" in chunk:
            chunk = self._with_line_feeds(chunk)
        lines = chunk.split(b"\n")
        if self._rest and len(lines) > 1:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        self._rest += lines.pop()
        for line in lines:
            if line.startswith(_DATA):
                self._take(line[5:])
            elif line:
                yield from self._field(line)
            elif (self._data or self._name) and (event := self._event()):
                yield event
        self._check(self._size + len(self._rest))

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        if not chunk:
            return chunk
        if not self._begun:
            chunk = self._without_mark(chunk)
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _without_mark(self, chunk: bytes) -> bytes:
        start = bytes(self._rest) + chunk
        self._rest.clear()
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._rest += start
            return b""
        self._begun = True
        return start.removeprefix(_BOM)

    def _field(self, line: bytes) -> Iterator[tuple[str, bytes]]:
        name, _, value = line.partition(b":")
        if name == b"event":
            self._name = value.strip().decode("utf-8", "replace")
        elif name == b"data":
            self._take(value)
        elif name == ERROR.encode():
            yield ERROR, value.strip()

    def _event(self) -> tuple[str, bytes] | None:
        """The event that a blank line ends; None where it says nothing."""
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        name, self._name, self._data, self._size = self._name, "", [], 0
        data = data.strip()
        if name.lower() == ERROR or (data and (name or len(data) > MOST_NOTHING or data not in NOTHING)):
            return name, data
        return None

    def _take(self, data: bytes) -> None:
        self._data.append(data.removeprefix(b" "))
        self._size += len(data) + 1  # a line costs memory, an empty one too
        self._check(self._size)

    def _check(self, size: int) -> None:
        if size > MAX_EVENT_BYTES:
            raise malformed(f"a stream event is larger than {MAX_EVENT_BYTES} bytes")
