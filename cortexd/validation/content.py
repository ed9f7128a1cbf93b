"""What a request holds: its bytes, its images, and the hash that tells a repeated one from another."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from cortexd.domain.messages import ImagePart, Message, Options, Tool

_SHAPING_OPTIONS = (
    "provider",
    "model",
    "temperature",
    "max_tokens",
    "tools",
    "tool_choice",
    "response_schema",
)


def prompt_bytes(messages: Sequence[Message], tools: Sequence[Tool]) -> int:
    """UTF-8 bytes of all texts and tools of a request, images not counted."""
    size = 0
    for message in messages:
        size += _utf8_length(message.text()) + len(message.name or "") + _utf8_length(message.reasoning or "")
        size += sum(_utf8_length(call.arguments) + len(call.name) + len(call.id) for call in message.tool_calls)
    return size + sum(_utf8_length(f"{tool.name}{tool.description}{tool.parameters}") for tool in tools)


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def base64_length(data: bytes) -> int:
    """How long `data` is as base64 text, which is how it leaves the machine."""
    return (len(data) + 2) // 3 * 4


def images_of(messages: Sequence[Message]) -> list[ImagePart]:
    """Every image of a request, in order."""
    return [
        part
        for message in messages
        if not isinstance(message.content, str)
        for part in message.content
        if isinstance(part, ImagePart)
    ]


def content_hash(task_type: str, messages: Sequence[Message], options: Options) -> bytes:
    """SHA-256 of what shapes the answer, to tell a repeated request from a reused id. Stable across versions:
    a new option, or field of a message, joins it only where it is set."""
    wanted = [(name, getattr(options, name)) for name in _SHAPING_OPTIONS]
    shape = [(name, value) for name, value in wanted if value is not None and value != ()]  # a temperature of 0 is set
    rows = [
        (
            *(message.role, message.parts(), message.tool_calls, message.tool_call_id, message.name),
            *((message.reasoning,) if message.reasoning else ()),
        )
        for message in messages
    ]
    text = json.dumps((task_type, rows, shape), default=_as_row, ensure_ascii=False)
    return hashlib.sha256(text.encode()).digest()


def _as_row(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return [type(value).__name__, *(getattr(value, item.name) for item in dataclasses.fields(value))]
