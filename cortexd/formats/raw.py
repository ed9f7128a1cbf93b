"""A program's body as it is passed on: byte for byte but for what has to be another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cortexd.errors import InvalidArgument

_KEY = re.compile(rb'[ \t\n\r]*("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_BEGINS = re.compile(rb"[ \t\n\r]*\{")
_GOES_ON = re.compile(rb"[ \t\n\r]*([,}])")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MOST_KEYS = 1000  # no API has a tenth of it
# What decides who answers and what it may cost. Some vendors' parsers take any case (Go's encoding/json), and then the
# last of both.
DECIDING = frozenset(
    [
        *("model", "models", "fallbacks", "stream", "stream_options", "include_usage", "n", "service_tier", "speed"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "tools", "functions", "mcp_servers", "container"),
        *("web_search_options", "plugins", "search_parameters", "enable_search", "inference_geo", "modalities"),
        *("messages", "input", "system", "instructions", "previous_response_id", "conversation", "prompt", "thread"),
        *("context_management", "compaction"),
    ]
)

Places = Mapping[str, slice]


def decoded(body: bytes) -> dict[str, Any]:
    """A whole body. Raises InvalidArgument for what is no JSON object."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"The body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidArgument("The body is no JSON object.")
    return found


def rewritten(body: bytes, model: str, places: Places | None = None, *, counted: bool = False) -> bytes:
    """The same JSON object for another model. `places`: of its values, where they are known already; `counted`: with
    the usage at the end of an OpenAI stream. Raises InvalidArgument as `places_in`."""
    values = places_in(body) if places is None else places
    members = {"model": msgspec.json.encode(model)}
    if counted:
        place = values.get("stream_options")
        inner = b"{}" if place is None or body[place] == b"null" else body[place]
        members["stream_options"] = put(inner, {"include_usage": b"true"})
    return _with(body, values, members)


def places_in(body: bytes) -> Places:
    """Where the value of each key stands.

    Raises InvalidArgument for what is no object, has a key twice, or one that decides in another case: parsers differ
    in which one they read.
    """
    return dict(_walk(body))


def value_of(body: bytes, key: str) -> bytes | None:
    """The JSON text of the value at `key`. Raises InvalidArgument as `places_in`."""
    place = places_in(body).get(key)
    return None if place is None else body[place]


def put(body: bytes, members: Mapping[str, bytes]) -> bytes:
    """`body` with each member's JSON text at its key; before all others where it had none. Raises InvalidArgument."""
    return _with(body, places_in(body), members)


def _with(body: bytes, values: Places, members: Mapping[str, bytes]) -> bytes:
    at = _end(_BEGINS, body, 0)
    new = b",".join(msgspec.json.encode(key) + b":" + members[key] for key in reversed([*members]) if key not in values)
    pieces = [body[:at], new, b"," if new and values else b""]
    for key, place in values.items():  # in their order in the body
        if key in members:
            pieces += (body[at : place.start], members[key])
            at = place.stop
    return b"".join((*pieces, body[at:]))


def _walk(body: bytes) -> Iterator[tuple[str, slice]]:
    """The decoder says how long a value is, and keeps the last one of a key that stands twice: then what is found on
    the way is not what it has."""
    members = _members(body)
    at = _end(_BEGINS, body, 0)
    for key, raw in members.items():
        begins = _end(_KEY, body, at)
        value = bytes(raw)
        if _key(body, at) != key or not body.startswith(value, begins):
            raise _twice()
        yield key, slice(begins, begins + len(value))
        at = _end(_GOES_ON, body, begins + len(value))
    if members and body[at - 1 : at] != b"}":
        raise _twice()


def _members(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        members = _OBJECT.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"The body is no JSON object: {error}") from None
    if len(members) > _MOST_KEYS:
        raise InvalidArgument(f"The body has {len(members)} keys. It may have {_MOST_KEYS}.")
    for key in members.keys() - DECIDING:
        if (meant := key.casefold()) in DECIDING:
            raise InvalidArgument(f"The body has the key {key!r:.80}. Write it as {meant!r}.")
    return members


def _key(body: bytes, at: int) -> object:
    found = _KEY.match(body, at)
    return msgspec.json.decode(found[1]) if found else None


def _end(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    found = pattern.match(body, at)
    if found is None:
        raise _twice()
    return found.end()


def _twice() -> InvalidArgument:
    return InvalidArgument("The body has a key twice. Each may stand once.")
