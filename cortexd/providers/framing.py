"""What a body is, by its content: an event stream, one JSON value, or JSON lines. Content-Type is a hint at most.

Servers stream as text/plain, application/json, application/octet-stream or without a type (containers/ramalama#2837,
vllm-project/vllm#47526), and give plain JSON where a stream was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from cortexd.domain.messages import Answer
from cortexd.providers.collecting import Collector
from cortexd.providers.sse import EventSplitter

EVENTS = "text/event-stream"
_BOM = b"\xef\xbb\xbf"
_LONGEST_FIELD = len(b"retry:")
_FIELD = re.compile(rb":|(?:data|event|id|retry|error):")


def is_stream(start: bytes, content_type: str, *, ended: bool = False) -> bool | None:
    """Whether a body that begins so is an event stream; None where more of it has to be seen."""
    start = significant(start)
    if start.startswith(b"{"):
        return False
    if not ended and (not start or _BOM.startswith(start)):
        return None
    if content_type.lower().startswith(EVENTS):
        return True
    if _FIELD.match(start):
        return True
    return False if ended or len(start) >= _LONGEST_FIELD else None


def significant(body: bytes) -> bytes:
    """Without the byte order mark and the blank lines at its start, which keep a connection alive."""
    return body.lstrip().removeprefix(_BOM).lstrip()


def read_body(
    body: bytes, content_type: str, whole: Callable[[bytes], Answer], collector: Callable[[], Collector]
) -> Answer:
    """The Answer in a body that has been read to its end. Raises ProviderError."""
    if is_stream(body, content_type, ended=True):
        return _collected(EventSplitter().feed(body), collector())
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines):
        return _collected((("", line) for line in lines), collector())
    return whole(significant(body))


def _collected(events: Iterable[tuple[str, bytes]], collector: Collector) -> Answer:
    for name, data in events:
        collector.feed(data, name)
    return collector.answer()
