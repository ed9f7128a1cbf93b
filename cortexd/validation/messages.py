"""A conversation as dictionaries into Messages."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from cortexd.domain.images import IMAGE_KINDS, SIGNATURE_BYTES, image_type
from cortexd.domain.messages import ImagePart, Message, Part, Role, TextPart, ToolCall
from cortexd.domain.safe_values import safe_text
from cortexd.errors import InvalidArgument, TooLarge
from cortexd.validation.bounds import USUAL, Bounds
from cortexd.validation.checks import (
    MAX_ID,
    NAME,
    as_mapping,
    as_sequence,
    as_text,
    known_keys,
    matching,
    shown,
)
from cortexd.validation.content import base64_length, images_of, prompt_bytes

_KEYS = ("role", "content", "tool_calls", "tool_call_id", "name", "reasoning_content")


def parse_messages(value: object, bounds: Bounds = USUAL) -> tuple[Message, ...]:
    """A list of message dictionaries as Messages. Raises InvalidArgument or TooLarge."""
    rows = as_sequence(value, "messages")
    if not rows:
        raise InvalidArgument("messages: expected at least one message, got none")
    if len(rows) > bounds.max_messages:
        raise TooLarge(f"messages: expected at most {bounds.max_messages} messages, got {len(rows)}")
    messages = tuple(_message(row, f"messages[{index}]") for index, row in enumerate(rows))
    size = prompt_bytes(messages, ()) + sum(base64_length(image.data) for image in images_of(messages))
    if size > bounds.max_prompt_bytes:
        raise TooLarge(f"messages: expected at most {bounds.max_prompt_bytes} bytes, got {size}")
    _check_tool_results(messages)
    if all(message.role is Role.SYSTEM for message in messages):
        raise InvalidArgument("messages: expected a message that is not a system message, got system messages only")
    return messages


def check_asked(messages: Sequence[Message]) -> None:
    """There must be something to answer, and blank texts are nothing. Raises InvalidArgument."""
    last = max(index for index, message in enumerate(messages) if message.role is not Role.SYSTEM)
    turns = [message for message in messages if message.role is not Role.SYSTEM]
    if not any(message.tool_calls or images_of([message]) or message.text().strip() for message in turns):
        raise InvalidArgument(f"messages[{last}].content: expected text that is not blank, or an image")


def _message(value: object, path: str) -> Message:
    row = as_mapping(value, path)
    known_keys(row, _KEYS, path)
    role = _role(row.get("role"), f"{path}.role")
    calls = tuple(
        _tool_call(item, f"{path}.tool_calls[{index}]")
        for index, item in enumerate(as_sequence(row.get("tool_calls") or (), f"{path}.tool_calls"))
    )
    if calls and role is not Role.ASSISTANT:
        raise InvalidArgument(f"{path}.tool_calls: expected only on an assistant message, got role {role.value!r}")
    call_id = row.get("tool_call_id")
    if (role is Role.TOOL) != (call_id is not None):
        raise InvalidArgument(
            f"{path}.tool_call_id: expected on every tool message and no other, role is {role.value!r}"
        )
    content, reasoning = row.get("content"), row.get("reasoning_content")
    if reasoning and role is not Role.ASSISTANT:
        raise InvalidArgument(f"{path}.reasoning_content: expected only on an assistant message, got {role.value!r}")
    return Message(
        role,
        "" if content is None and role in (Role.ASSISTANT, Role.TOOL) else _content(content, role, f"{path}.content"),
        calls,
        None if call_id is None else as_text(call_id, f"{path}.tool_call_id", MAX_ID),
        None if row.get("name") is None else matching(row["name"], NAME, f"{path}.name"),
        as_text(reasoning, f"{path}.reasoning_content") if reasoning else None,
    )


def _role(value: object, path: str) -> Role:
    if isinstance(value, str) and value in Role._value2member_map_:
        return Role(value)
    raise InvalidArgument(f"{path}: expected one of {', '.join(Role)}, got {shown(value)}")


def _content(value: object, role: Role, path: str) -> str | tuple[Part, ...]:
    if isinstance(value, str):
        return safe_text(value)
    parts = tuple(
        _part(item, f"{path}[{index}]") for index, item in enumerate(as_sequence(value, path, "text or parts"))
    )
    if role is not Role.USER and any(isinstance(part, ImagePart) for part in parts):
        raise InvalidArgument(f"{path}: expected images only on a user message, got role {role.value!r}")
    return parts


def _part(value: object, path: str) -> Part:
    row = as_mapping(value, path)
    kind = row.get("type")
    if kind == "text":
        known_keys(row, ("type", "text"), path)
        return TextPart(as_text(row.get("text"), f"{path}.text"))
    if kind == "image":
        known_keys(row, ("type", "media_type", "data"), path)
        if row.get("media_type") is not None:
            as_text(row["media_type"], f"{path}.media_type")
        return _image(_base64(row.get("data"), f"{path}.data"), f"{path}.data")
    raise InvalidArgument(f"{path}.type: expected one of text, image, got {shown(kind)}")


def _image(data: bytes, path: str) -> ImagePart:
    """Under the type that its bytes say, whatever the caller called it: providers look at the bytes too."""
    media_type = image_type(data[:SIGNATURE_BYTES])
    if media_type is None:
        raise InvalidArgument(f"{path}: expected a {IMAGE_KINDS} image, whatever media_type says, got other bytes")
    return ImagePart(media_type, data)


def _base64(value: object, path: str) -> bytes:
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    try:
        return base64.b64decode(as_text(value, path), validate=True)
    except ValueError:  # also letters beyond ASCII, which are no binascii.Error
        raise InvalidArgument(f"{path}: expected base64 text or bytes") from None


def _tool_call(value: object, path: str) -> ToolCall:
    row = as_mapping(value, path)
    if isinstance(row.get("function"), Mapping):  # OpenAI's nesting
        row = {"id": row.get("id"), **row["function"]}
    known_keys(row, ("id", "name", "arguments", "type"), path)
    name = as_text(row.get("name"), f"{path}.name")
    if len(name) > MAX_ID:
        raise InvalidArgument(f"{path}.name: expected at most {MAX_ID} characters, got {len(name)}")
    arguments = row.get("arguments")
    return ToolCall(
        as_text(row.get("id"), f"{path}.id", MAX_ID),
        name,
        "{}" if arguments is None else as_text(arguments, f"{path}.arguments"),
    )


def _check_tool_results(messages: Sequence[Message]) -> None:
    """A tool message must answer a call that an earlier assistant message made."""
    called: set[str] = set()
    for index, message in enumerate(messages):
        called.update(call.id for call in message.tool_calls)
        if message.tool_call_id is not None and message.tool_call_id not in called:
            raise InvalidArgument(
                f"messages[{index}].tool_call_id: no earlier assistant message called {shown(message.tool_call_id)}"
            )
