"""Plain dictionaries (from the bus, JSON or Python) into the domain's structures, each error naming its path.

Everything that a caller sends passes here once; what comes out is well formed, bounded and safe to send on.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from cortexd.errors import InvalidArgument, TooLarge
from cortexd.messages import (
    ImagePart,
    Message,
    Options,
    Part,
    Privacy,
    Role,
    Strategy,
    TextPart,
    Tool,
    ToolCall,
)
from cortexd.money import from_usd
from cortexd.untrusted import safe_text

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_LABEL_KEY = re.compile(r"[A-Za-z0-9._-]{1,64}")
_IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_MAX_LABELS = 16
_MAX_LABEL_VALUE = 256
_MAX_OUTPUT_TOKENS = 1_000_000
_MAX_ID = 256
_MAX_COST_USD = 1_000_000
_SHAPING_OPTIONS = (
    "provider",
    "model",
    "temperature",
    "max_tokens",
    "tools",
    "tool_choice",
    "response_schema",
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one request may hold; bytes are UTF-8 bytes of all texts together."""

    max_prompt_bytes: int = 8 * 1024 * 1024
    max_messages: int = 4096
    max_tools: int = 256
    max_deadline_ms: int = 3_600_000


def parse_messages(value: object, bounds: Bounds = Bounds()) -> tuple[Message, ...]:
    """A list of message dictionaries as Messages. Raises InvalidArgument or TooLarge."""
    rows = _sequence(value, "messages")
    if not rows:
        raise InvalidArgument("messages: expected at least one message, got none")
    if len(rows) > bounds.max_messages:
        raise TooLarge(f"messages: expected at most {bounds.max_messages} messages, got {len(rows)}")
    messages = tuple(_message(row, f"messages[{index}]") for index, row in enumerate(rows))
    size = prompt_bytes(messages, ()) + sum(len(image.data) for image in images_of(messages))
    if size > bounds.max_prompt_bytes:
        raise TooLarge(f"messages: expected at most {bounds.max_prompt_bytes} bytes, got {size}")
    _check_tool_results(messages)
    if all(message.role is Role.SYSTEM for message in messages):
        raise InvalidArgument("messages: expected a message that is not a system message, got system messages only")
    return messages


def parse_options(value: object, bounds: Bounds = Bounds()) -> Options:
    """A dictionary of options as Options. Raises InvalidArgument (unknown keys too) or TooLarge."""
    table = _mapping(value, "options")
    parsed: dict[str, Any] = {}
    for key, item in table.items():
        if key not in _OPTIONS:
            near = get_close_matches(str(key)[:64], _OPTIONS, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(_OPTIONS)}"
            raise InvalidArgument(f"options.{_key(key)}: unknown option{hint}")
        field, parse = _OPTIONS[key]
        parsed[field] = parse(item, f"options.{key}")
    options = Options(**parsed)
    _check_options(options, bounds)
    return options


def prompt_bytes(messages: Sequence[Message], tools: Sequence[Tool]) -> int:
    """UTF-8 bytes of all texts and tools of a request, images not counted."""
    size = 0
    for message in messages:
        size += len(message.text().encode()) + len(message.name or "")
        size += sum(len(call.arguments.encode()) + len(call.name) + len(call.id) for call in message.tool_calls)
    return size + sum(len(f"{tool.name}{tool.description}{tool.parameters}".encode()) for tool in tools)


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
    a new option joins it only where it is set."""
    shape = [(name, getattr(options, name)) for name in _SHAPING_OPTIONS if getattr(options, name)]
    rows = [
        (message.role, message.parts(), message.tool_calls, message.tool_call_id, message.name) for message in messages
    ]
    text = json.dumps((task_type, rows, shape), default=_as_row, ensure_ascii=False)
    return hashlib.sha256(text.encode()).digest()


def _as_row(value: Any) -> list[Any]:
    return [type(value).__name__, *(getattr(value, item.name) for item in dataclasses.fields(value))]


def _message(value: object, path: str) -> Message:
    row = _mapping(value, path)
    _known(row, ("role", "content", "tool_calls", "tool_call_id", "name"), path)
    role = _role(row.get("role"), f"{path}.role")
    calls = tuple(
        _tool_call(item, f"{path}.tool_calls[{index}]")
        for index, item in enumerate(_sequence(row.get("tool_calls") or (), f"{path}.tool_calls"))
    )
    if calls and role is not Role.ASSISTANT:
        raise InvalidArgument(f"{path}.tool_calls: expected only on an assistant message, got role {role.value!r}")
    call_id = row.get("tool_call_id")
    if (role is Role.TOOL) != (call_id is not None):
        raise InvalidArgument(
            f"{path}.tool_call_id: expected on every tool message and no other, role is {role.value!r}"
        )
    content = row.get("content")
    return Message(
        role,
        "" if content is None and calls else _content(content, role, f"{path}.content"),
        calls,
        None if call_id is None else _text(call_id, f"{path}.tool_call_id", _MAX_ID),
        None if row.get("name") is None else _pattern(row["name"], _NAME, f"{path}.name"),
    )


def _role(value: object, path: str) -> Role:
    if isinstance(value, str) and value in Role._value2member_map_:
        return Role(value)
    raise InvalidArgument(f"{path}: expected one of {', '.join(Role)}, got {_shown(value)}")


def _content(value: object, role: Role, path: str) -> str | tuple[Part, ...]:
    if isinstance(value, str):
        return safe_text(value)
    parts = tuple(_part(item, f"{path}[{index}]") for index, item in enumerate(_sequence(value, path, "text or parts")))
    if role is not Role.USER and any(isinstance(part, ImagePart) for part in parts):
        raise InvalidArgument(f"{path}: expected images only on a user message, got role {role.value!r}")
    return parts


def _part(value: object, path: str) -> Part:
    row = _mapping(value, path)
    kind = row.get("type")
    if kind == "text":
        _known(row, ("type", "text"), path)
        return TextPart(_text(row.get("text"), f"{path}.text"))
    if kind == "image":
        _known(row, ("type", "media_type", "data"), path)
        media_type = row.get("media_type")
        if media_type not in _IMAGE_TYPES:
            raise InvalidArgument(
                f"{path}.media_type: expected one of {', '.join(_IMAGE_TYPES)}, got {_shown(media_type)}"
            )
        return ImagePart(media_type, _base64(row.get("data"), f"{path}.data"))
    raise InvalidArgument(f"{path}.type: expected one of text, image, got {_shown(kind)}")


def _base64(value: object, path: str) -> str:
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    try:
        text = _text(value, path)
        base64.b64decode(text, validate=True)
    except binascii.Error:
        raise InvalidArgument(f"{path}: expected base64 text or bytes") from None
    return text


def _tool_call(value: object, path: str) -> ToolCall:
    row = _mapping(value, path)
    if isinstance(row.get("function"), Mapping):  # OpenAI's nesting
        row = {"id": row.get("id"), **row["function"]}
    _known(row, ("id", "name", "arguments", "type"), path)
    arguments = _text(row.get("arguments", "{}"), f"{path}.arguments")
    return ToolCall(
        _text(row.get("id"), f"{path}.id", _MAX_ID), _pattern(row.get("name"), _NAME, f"{path}.name"), arguments
    )


def _tool(value: object, path: str) -> Tool:
    row = _mapping(value, path)
    if isinstance(row.get("function"), Mapping):  # OpenAI's nesting
        row = row["function"]
        path += ".function"
    _known(row, ("name", "description", "parameters", "type"), path)
    name = _pattern(row.get("name"), _NAME, f"{path}.name")
    parameters = row.get("parameters")
    return Tool(
        name,
        _text(row.get("description", ""), f"{path}.description"),
        Tool(name).parameters if parameters is None else _schema(parameters, f"{path}.parameters"),
    )


def _schema(value: object, path: str) -> str:
    """A JSON Schema object, given as JSON text or as a mapping, as compact JSON text."""
    try:
        schema = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise InvalidArgument(f"{path}: expected a JSON Schema as JSON text: {error}") from None
    except RecursionError:
        raise InvalidArgument(f"{path}: expected a JSON Schema that is not nested so deeply") from None
    if not isinstance(schema, Mapping):
        raise InvalidArgument(f"{path}: expected a JSON object, got {_shown(schema)}")
    if schema.get("type", "object") != "object":
        raise InvalidArgument(f'{path}.type: expected "object", got {_shown(schema["type"])}')
    try:
        return safe_text(json.dumps({"type": "object", **schema}, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument(f"{path}: expected a JSON Schema made of JSON values only") from None


def _check_tool_results(messages: Sequence[Message]) -> None:
    """A tool message must answer a call that an earlier assistant message made."""
    called: set[str] = set()
    for index, message in enumerate(messages):
        called.update(call.id for call in message.tool_calls)
        if message.tool_call_id is not None and message.tool_call_id not in called:
            raise InvalidArgument(
                f"messages[{index}].tool_call_id: no earlier assistant message called {_shown(message.tool_call_id)}"
            )


def _check_options(options: Options, bounds: Bounds) -> None:
    if len(options.tools) > bounds.max_tools:
        raise TooLarge(f"options.tools: expected at most {bounds.max_tools} tools, got {len(options.tools)}")
    names = [tool.name for tool in options.tools]
    if len(set(names)) != len(names):
        raise InvalidArgument("options.tools: expected each tool name once")
    size = prompt_bytes((), options.tools) + len((options.response_schema or "").encode())
    if size > bounds.max_prompt_bytes:
        raise TooLarge(f"options.tools: expected at most {bounds.max_prompt_bytes} bytes, got {size}")
    if options.tool_choice is not None and not options.tools:
        raise InvalidArgument("options.tool_choice: expected only together with tools")
    if options.tool_choice not in (None, "auto", "none", "required", *names):
        raise InvalidArgument(
            f"options.tool_choice: expected auto, none, required or an offered tool, got {_shown(options.tool_choice)}"
        )
    if options.deadline_ms is not None and options.deadline_ms > bounds.max_deadline_ms:
        raise InvalidArgument(
            f"options.deadline_ms: expected at most {bounds.max_deadline_ms}, got {options.deadline_ms}"
        )


def _shown(value: object) -> str:
    text = repr(value) if value is not None else "nothing"
    return safe_text(text if len(text) <= 80 else text[:79] + "…")


def _key(key: object) -> str:
    return safe_text(str(key)[:64])


def _mapping(value: object, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{path}: expected a dictionary, got {_shown(value)}")
    return value


def _sequence(value: object, path: str, what: str = "a list") -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise InvalidArgument(f"{path}: expected {what}, got {_shown(value)}")
    return value


def _known(row: Mapping[str, Any], keys: tuple[str, ...], path: str) -> None:
    for key in row:
        if key not in keys:
            near = get_close_matches(str(key)[:64], keys, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(keys)}"
            raise InvalidArgument(f"{path}.{_key(key)}: unknown key{hint}")


def _text(value: object, path: str, limit: int | None = None) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(f"{path}: expected text, got {_shown(value)}")
    if limit is not None and not 0 < len(value) <= limit:
        raise InvalidArgument(f"{path}: expected 1 to {limit} characters, got {len(value)}")
    return safe_text(value)


def _name(value: object, path: str) -> str:
    return _text(value, path, _MAX_ID)


def _pattern(value: object, pattern: re.Pattern[str], path: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidArgument(f"{path}: expected text that matches {pattern.pattern}, got {_shown(value)}")
    return value


def _number(low: float, high: float) -> Callable[[object, str], float]:
    def parse(value: object, path: str) -> float:
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type,operator]
            raise InvalidArgument(f"{path}: expected a number from {low:g} to {high:g}, got {_shown(value)}")
        return float(value)  # type: ignore[arg-type]

    return parse


def _integer(low: int, high: int) -> Callable[[object, str], int]:
    def parse(value: object, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidArgument(f"{path}: expected a whole number from {low} to {high}, got {_shown(value)}")
        return value

    return parse


def _boolean(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgument(f"{path}: expected true or false, got {_shown(value)}")
    return value


def _tools(value: object, path: str) -> tuple[Tool, ...]:
    return tuple(_tool(item, f"{path}[{index}]") for index, item in enumerate(_sequence(value, path)))


def _cost(value: object, path: str) -> int:
    return from_usd(_number(0, _MAX_COST_USD)(value, path))


def _privacy(value: object, path: str) -> Privacy:
    if isinstance(value, str) and value in Privacy._value2member_map_:
        return Privacy(value)
    raise InvalidArgument(f"{path}: expected one of {', '.join(Privacy)}, got {_shown(value)}")


def _strategy(value: object, path: str) -> Strategy:
    if isinstance(value, str) and value in Strategy._value2member_map_:
        return Strategy(value)
    raise InvalidArgument(f"{path}: expected one of {', '.join(Strategy)}, got {_shown(value)}")


def _labels(value: object, path: str) -> dict[str, str]:
    table = _mapping(value, path)
    if len(table) > _MAX_LABELS:
        raise InvalidArgument(f"{path}: expected at most {_MAX_LABELS} labels, got {len(table)}")
    return {
        _pattern(key, _LABEL_KEY, f"{path} (key)"): _text(item, f"{path}.{_key(key)}", _MAX_LABEL_VALUE)
        for key, item in table.items()
    }


def _request_id(value: object, path: str) -> str:
    return _pattern(value, _REQUEST_ID, path)


# the caller's key -> the field of Options and how its value is checked
_OPTIONS: dict[str, tuple[str, Callable[[object, str], Any]]] = {
    "provider": ("provider", _name),
    "model": ("model", _name),
    "temperature": ("temperature", _number(0, 2)),
    "max_tokens": ("max_tokens", _integer(1, _MAX_OUTPUT_TOKENS)),
    "tools": ("tools", _tools),
    "tool_choice": ("tool_choice", _name),
    "response_schema": ("response_schema", _schema),
    "fallback": ("fallback", _boolean),
    "deadline_ms": ("deadline_ms", _integer(1, 2**31)),
    "max_cost_usd": ("max_cost_nano", _cost),
    "privacy": ("privacy", _privacy),
    "request_id": ("request_id", _request_id),
    "labels": ("labels", _labels),
    "strategy": ("strategy", _strategy),
    "cache": ("cache", _boolean),
    "session": ("session", _request_id),
}
