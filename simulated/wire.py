"""What the server needs of a vendor's wire format, and the JSON and SSE encoding that both formats share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from simulated.behaviour import Behaviour
from simulated.checks import Refused
from simulated.prompt import Answer, Prompt

_CHARS_PER_CHUNK = 24
_MOST_CHUNKS = 1_000
_RAW_MARK = "raw json goes here"
JSON = "application/json"
DONE = b"data: [DONE]\n\n"  # OpenAI's end of a stream


@dataclass(frozen=True, slots=True)
class Events:
    """SSE events as bytes: `middle` carries the answer, `tail` its end with the final usage."""

    head: list[bytes]
    middle: list[bytes]
    tail: list[bytes]


class Wire(Protocol):
    """A vendor's format. Requests that the vendor would refuse raise `Refused`."""

    request_id_header: str

    def check_headers(self, headers: Mapping[str, str], accepts: Callable[[str], bool]) -> None:
        """`headers` has lower-case names; `accepts` says whether a key is good."""

    def prompt(self, body: Any, headers: Mapping[str, str], /) -> Prompt: ...

    def unknown_model(self, model: str) -> Refused | None:
        """None where the server answers all the same."""

    def refused_field(self, name: str) -> Refused: ...

    def too_long(self, prompt: Prompt, limit: int, /) -> Refused | None: ...

    def body(self, answer: Answer, behaviour: Behaviour) -> bytes: ...

    def events(self, answer: Answer, prompt: Prompt, behaviour: Behaviour, /) -> Events: ...

    def refusal(self, refused: Refused, request_id: str, /) -> bytes: ...

    def error(self, status: int, behaviour: Behaviour, request_id: str, /) -> bytes: ...

    def stream_error(self, behaviour: Behaviour, request_id: str, /) -> bytes: ...

    def media_type(self, status: int, /) -> str:
        """Of an error with that status."""

    def retry_after(self, status: int, /) -> str:
        """What the server says by itself; "" for nothing."""


class JsonErrors:
    """Errors as JSON, and a second of waiting at 429, as both vendors have them."""

    def media_type(self, _status: int) -> str:
        return JSON

    def retry_after(self, status: int) -> str:
        return "1" if status == 429 else ""


def encode(value: Any) -> bytes:
    """ASCII JSON: control characters and lone surrogates as escapes, NaN as the token NaN."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def encode_with_raw(value: Any, field: list[str | int], raw: str | None) -> bytes:
    """`encode`, with the JSON text `raw` in place of the value at path `field` unless raw is None."""
    if raw is None:
        return encode(value)
    place = value
    for step in field[:-1]:
        place = place[step]
    place[field[-1]] = _RAW_MARK
    return encode(value).replace(encode(_RAW_MARK), raw.encode("utf-8", "surrogatepass"))


def sse(value: Any, event: str | None = None) -> bytes:
    prefix = f"event: {event}\n".encode() if event else b""
    return prefix + b"data: " + encode(value) + b"\n\n"


def scripted(script: Sequence[str]) -> Events:
    """The last piece is the end, which no fault lets through."""
    *middle, last = [piece.encode() for piece in script]
    return Events([], middle, [last])


def pieces(text: str, count: int | None) -> list[str]:
    """`text` in `count` pieces of nearly equal length (some empty if it is short), by default 24 characters each.

    A long text has at most 1,000 pieces by default.
    """
    if count is None:
        count = min(-(-len(text) // _CHARS_PER_CHUNK), _MOST_CHUNKS)
    return [text[len(text) * n // count : len(text) * (n + 1) // count] for n in range(count)]


def overlay(usage: dict[str, Any], behaviour: Behaviour) -> dict[str, Any] | None:
    """The usage object as the behaviour wants it said; None if it is left out."""
    if "*" in behaviour.usage_without:
        return None
    said = {**usage, **behaviour.usage}
    return {name: value for name, value in said.items() if name not in behaviour.usage_without}


def strict_json(body: bytes) -> Any:
    """The body as JSON, as strict as the vendors: no NaN. Raises Refused."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused((), f"The request body is not valid JSON: {error}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
