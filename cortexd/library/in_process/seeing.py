"""What an SDK's objects say, as the JSON that cortexd's own readers take.

The objects are the SDK's models, or whatever a user's fake returns: attributes and keys are read alike, and what has
not the type that the vendor's API promises (a MagicMock's attribute is no number) counts as not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# A shape is a dictionary of fields, a list of one shape, or None for any JSON value.
_ANTHROPIC_USAGE = {
    "input_tokens": None,
    "output_tokens": None,
    "cache_read_input_tokens": None,
    "cache_creation_input_tokens": None,
    "output_tokens_details": {"thinking_tokens": None},
}
_BLOCK = {"type": None, "text": None, "id": None, "name": None, "input": None}
MESSAGE = {"content": [_BLOCK], "model": None, "stop_reason": None, "usage": _ANTHROPIC_USAGE, "error": None}
EVENT = {
    "type": None,
    "index": None,
    "message": MESSAGE,
    "content_block": _BLOCK,
    "delta": {"text": None, "partial_json": None, "stop_reason": None},
    "usage": _ANTHROPIC_USAGE,
    "error": None,
}
_OPENAI_USAGE = {
    "prompt_tokens": None,
    "completion_tokens": None,
    "cached_tokens": None,
    "prompt_cache_hit_tokens": None,
    "prompt_tokens_details": {"cached_tokens": None},
    "completion_tokens_details": {"reasoning_tokens": None},
}
_CALL = {"id": None, "function": {"name": None, "arguments": None}}
_REPLY = {"content": None, "refusal": None, "tool_calls": [_CALL]}
COMPLETION = {
    "choices": [{"message": _REPLY, "finish_reason": None}],
    "model": None,
    "usage": _OPENAI_USAGE,
    "error": None,
}
CHUNK = {
    "choices": [
        {
            "delta": {"content": None, "refusal": None, "tool_calls": [{"index": None, **_CALL}]},
            "finish_reason": None,
            "usage": _OPENAI_USAGE,
        }
    ],
    "model": None,
    "usage": _OPENAI_USAGE,
    "error": None,
}


def seen(value: Any, shape: Any) -> Any:
    """What `value` has of `shape`, as JSON values; fields without a usable value are left out."""
    if shape is None:
        return value if _is_json(value) else None
    if isinstance(shape, list):
        return _items(value, shape[0])
    if value is None or isinstance(value, str | bytes | int | float | list | tuple):
        return None
    fields = ((name, seen(_field(value, name), inner)) for name, inner in shape.items())
    return {name: found for name, found in fields if found is not None}


def encode(value: Any) -> bytes:
    """As JSON bytes; what is none inside (a fake's object in a tool's input) becomes its text."""
    return json.dumps(value, default=str).encode()


def message_body(message: Any) -> bytes:
    """An Anthropic message. A block that does not say its type is text where it holds text, a tool call otherwise."""
    row = seen(message, MESSAGE)
    for block in (row or {}).get("content") or ():
        block.setdefault("type", "text" if "text" in block else "tool_use")
    return encode(row)


def completion_body(completion: Any) -> bytes:
    """An OpenAI-style chat completion."""
    return encode(seen(completion, COMPLETION))


def _items(value: Any, shape: Any) -> list[Any] | None:
    if isinstance(value, list | tuple):
        return [seen(item, shape) or {} for item in value]
    if value is None or isinstance(value, str | bytes | Mapping) or not hasattr(value, "__getitem__"):
        return None
    try:  # a MagicMock that was given `.content[0].text` is no list
        first = seen(value[0], shape)
    except (LookupError, TypeError):
        return None
    return [first] if _says_anything(first) else None


def _says_anything(row: Any) -> bool:
    return any(map(_says_anything, row.values())) if isinstance(row, dict) else row is not None


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _is_json(value: Any) -> bool:
    return value is not None and isinstance(value, str | int | float | list | dict)
