"""Bodies for the bridge's endpoints: whole ones, and what a seeded generator makes of them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_CHAT = {
    "model": "auto",
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "what is this?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "30 degrees"},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}],
        },
    ],
    "max_tokens": 64,
    "temperature": 0.5,
    "stream": False,
    "stream_options": {"include_usage": True},
    "tools": [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": _SCHEMA}}],
    "tool_choice": "auto",
    "response_format": {"type": "text"},
    "user": "ann",
}
_RESPONSES = {
    "model": "auto",
    "instructions": "be brief",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "what is this?"}]},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city": "Rome"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "30 degrees"},
        {
            "role": "user",
            "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}],
        },
    ],
    "max_output_tokens": 64,
    "temperature": 0.5,
    "stream": False,
    "tools": [{"type": "function", "name": "weather", "description": "d", "parameters": _SCHEMA, "strict": False}],
    "tool_choice": "auto",
    "text": {"format": {"type": "text"}},
    "store": True,
    "metadata": {"a": "b"},
}
_MESSAGES = {
    "model": "auto",
    "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "what is this?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "30 degrees"}]},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
            ],
        },
    ],
    "max_tokens": 64,
    "temperature": 0.5,
    "stream": False,
    "tools": [{"name": "weather", "description": "d", "input_schema": _SCHEMA}],
    "tool_choice": {"type": "auto"},
    "metadata": {"user_id": "ann"},
}
WHOLE: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": _CHAT,
    "/v1/responses": _RESPONSES,
    "/v1/messages": _MESSAGES,
    "/v1/messages/count_tokens": _MESSAGES,
}
_DEEP = 200
_SMALL, _LARGE = 1_000, 500_000  # what may be there hundreds of times; what grows no more
_ODD: Sequence[Any] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**40, 0.1, -0.0, 1e308, "", " ", "\0", "\ufeff", "é\u0301"),
    *("\ud800", "\U0001f600" * 50, "x" * 70_000, [], {}, [[]], [{}], [None], {"": None}, {"type": None}, ["text"]),
    *("auto", "task/none", "claude", "text", "tool", "user", "0", "1e5", "data:image/png;base64,%%%", "{", "null"),
    *([0] * 5_000, {str(number): number for number in range(500)}),
)
_TEXTS = ("", " ", "null", "true", "0", "[]", '"text"', "{", "{}", "[{}]", "\ufeff{}", '{"model": NaN}', "nothing")
_Path = tuple[Any, ...]


def bodies(endpoint: str, seed: int) -> Iterator[bytes]:
    """Without an end; the same for the same seed."""
    chance = random.Random(f"{endpoint} {seed}")
    while True:
        body = copy.deepcopy(WHOLE[endpoint])
        body["stream"] = chance.random() < 0.2
        for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
            try:
                changed = chance.choice(_CHANGES)(copy.deepcopy(body), chance)
                size = len(json.dumps(changed))
            except RecursionError:  # deeper than anybody here could write
                break
            body = changed
            if size > _LARGE:
                break
        written = _written(body, chance)
        yield chance.choice(_DAMAGES)(written, chance) if chance.random() < 0.1 else written


def _written(body: Any, chance: random.Random) -> bytes:
    text = json.dumps(body, ensure_ascii=chance.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")


def _places(value: Any, path: _Path = ()) -> Iterator[_Path]:
    """Of everything in it."""
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in rows:
        yield (*path, key)
        yield from _places(inner, (*path, key))


def _somewhere(body: Any, chance: random.Random) -> tuple[Any, Any]:
    """What holds something, and the key or index where; (None, None) of what holds nothing."""
    path = chance.choice(list(_places(body)) or [()])
    for key in path[:-1]:
        body = body[key]
    return (body, path[-1]) if path else (None, None)


def _replaced(body: Any, chance: random.Random) -> Any:
    holder, key = _somewhere(body, chance)
    if holder is not None:
        holder[key] = copy.deepcopy(chance.choice(_ODD))
    return body


def _left_out(body: Any, chance: random.Random) -> Any:
    holder, key = _somewhere(body, chance)
    if holder is not None:
        del holder[key]
    return body


def _moved(body: Any, chance: random.Random) -> Any:
    """Something stands where something else did."""
    (source, of), (target, to) = _somewhere(body, chance), _somewhere(body, chance)
    if source is not None and target is not None:
        target[to] = copy.deepcopy(source[of])
    return body


def _wrapped(body: Any, chance: random.Random) -> Any:
    """One level or very many deeper than it was."""
    holder, key = _somewhere(body, chance)
    if holder is not None:
        for _ in range(chance.choice((1, 1, _DEEP))):
            holder[key] = [holder[key]] if chance.random() < 0.5 else {"type": holder[key]}
    return body


def _repeated(body: Any, chance: random.Random) -> Any:
    holder, key = _somewhere(body, chance)
    if isinstance(holder, list):
        small = len(json.dumps(holder[key])) < _SMALL
        holder += [copy.deepcopy(holder[key])] * (chance.choice((1, 300)) if small else 1)
    return body


def _added(body: Any, chance: random.Random) -> Any:
    holder, _ = _somewhere(body, chance)
    if isinstance(holder, dict):
        name = chance.choice(("seed", "stop", "n", "type", "content", "name", "\ud800", "previous_response_id"))
        holder[name] = copy.deepcopy(chance.choice(_ODD))
    return body


def _cut(text: bytes, chance: random.Random) -> bytes:
    return text[: chance.randrange(len(text))]


def _flipped(text: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(text))
    return text[:place] + bytes([chance.randrange(256)]) + text[place + 1 :]


def _twice(text: bytes, chance: random.Random) -> bytes:
    """The same keys again, or two bodies."""
    return text[:-1] + b", " + text[1:] if chance.random() < 0.5 else text * 2


def _other(_text: bytes, chance: random.Random) -> bytes:
    return chance.choice(_TEXTS).encode()


def _long_number(text: bytes, chance: random.Random) -> bytes:
    return text.replace(b"64", b"6" * chance.choice((20, 400, 5_000)), 1)


_Change = Callable[[Any, random.Random], Any]
_CHANGES: Sequence[_Change] = (_replaced, _replaced, _left_out, _moved, _wrapped, _repeated, _added)
_DAMAGES: Sequence[Callable[[bytes, random.Random], bytes]] = (_cut, _flipped, _twice, _other, _long_number)
