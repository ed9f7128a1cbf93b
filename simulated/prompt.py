"""A checked request in neutral words, and the answer an instance makes for it. Both vendors share this."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from simulated.behaviour import Behaviour
from simulated.billing import TOKENS_PER_IMAGE, Tokens, tokens_of

_ECHO_CHARS = 200
_SAMPLE_DEPTH = 16
_SAMPLES = {"string": "sample", "integer": 1, "number": 1.5, "boolean": True, "null": None}
# Fields of messages that are not text the model reads.
_NOT_TEXT = frozenset(
    {"role", "type", "id", "tool_use_id", "tool_call_id", "call_id", "cache_control", "signature", "source"}
)
_IMAGE_TYPES = ("image", "image_url", "input_image")  # no set: what a body says may have no hash


class Finish(Enum):
    """Why the answer ends."""

    END = "end"
    LENGTH = "length"
    STOP = "stop"
    TOOLS = "tools"


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    schema: Any


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the answer depends on. `forced_tool` is a name, "" for any tool, None for the model's choice."""

    model: str
    last_text: str
    tokens: int
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    forced_tool: str | None = None
    json_schema: Any = None
    stream: bool = False
    include_usage: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; `arguments` is JSON text, perhaps broken if a behaviour says so."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said and what is billed for it. `serial` numbers the answers of an instance from 1."""

    serial: int
    model: str
    text: str
    calls: tuple[Call, ...]
    thinking: str | None
    finish: Finish
    stop: str | None
    tokens: Tokens


def count_tokens(texts: Any, tools: Any) -> int:
    """Tokens of a request by the rule in billing.py: `texts` holds system and messages, `tools` the tools array."""
    size, images = _measure(texts)
    if tools:
        size += _size(json.dumps(tools, ensure_ascii=False, separators=(",", ":")))
    return tokens_of(size) + images * TOKENS_PER_IMAGE


def _measure(value: Any) -> tuple[int, int]:
    """(bytes of text, number of images) in a piece of a request."""
    if isinstance(value, str):
        return _size(value), 0
    if isinstance(value, dict):
        if value.get("type") in _IMAGE_TYPES:
            return 0, 1
        parts = [_measure(item) for name, item in value.items() if name not in _NOT_TEXT]
    elif isinstance(value, list):
        parts = [_measure(item) for item in value]
    else:
        return 0, 0
    return sum(size for size, _ in parts), sum(images for _, images in parts)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def sample(schema: Any, depth: int = 0) -> Any:
    """A value that fits a JSON schema of the usual kind: its enum, const, default, or a stand-in by type."""
    if not isinstance(schema, dict) or depth > _SAMPLE_DEPTH:
        return {} if depth == 0 else None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return sample(schema[key][0], depth + 1)
    return _sample_by_type(schema, depth)


def _sample_by_type(schema: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        names = schema.get("required", schema.get("properties", {}))
        return {name: sample(schema.get("properties", {}).get(name, {"type": "string"}), depth + 1) for name in names}
    if kind == "array":
        return [sample(schema["items"], depth + 1)] if "items" in schema else []
    value = _SAMPLES.get(kind)
    return schema.get("minimum", value) if kind in ("integer", "number") else value


def answer(prompt: Prompt, behaviour: Behaviour, serial: int) -> Answer:
    """The same prompt, behaviour and serial always give the same answer."""
    calls = _calls(prompt, behaviour, serial)
    text, finish, stop = _text(prompt, behaviour, calls)
    said = _size(text) + _size(behaviour.thinking or "") + sum(_size(c.name) + _size(c.arguments) for c in calls)
    cached = behaviour.cache_read_tokens + behaviour.cache_write_tokens + behaviour.hour_write_tokens
    plain = max(0, prompt.tokens - cached) if behaviour.input_tokens is None else behaviour.input_tokens
    output = max(1, tokens_of(said)) if behaviour.output_tokens is None else behaviour.output_tokens
    tokens = Tokens(
        plain,
        output,
        behaviour.cache_read_tokens,
        behaviour.cache_write_tokens,
        behaviour.reasoning_tokens,
        behaviour.hour_write_tokens,
    )
    model = prompt.model if behaviour.model is None else behaviour.model
    return Answer(serial, model, text, calls, behaviour.thinking, finish, stop, tokens)


def _calls(prompt: Prompt, behaviour: Behaviour, serial: int) -> tuple[Call, ...]:
    wanted = list(behaviour.tool_calls)
    if not wanted and prompt.tools and (behaviour.auto_tool or prompt.forced_tool is not None):
        tool = next((tool for tool in prompt.tools if tool.name == prompt.forced_tool), prompt.tools[0])
        wanted = [(tool.name, json.dumps(sample(tool.schema)))]
    return tuple(Call(f"call_sim_{serial:06d}_{n}", name, arguments) for n, (name, arguments) in enumerate(wanted))


def _text(prompt: Prompt, behaviour: Behaviour, calls: tuple[Call, ...]) -> tuple[str, Finish, str | None]:
    """The text, why it ends, and the stop sequence that ended it.

    A reply given by the behaviour is said in full, whatever `max_tokens` says.
    """
    if behaviour.size_bytes is not None:
        return "x" * behaviour.size_bytes, Finish.END, None
    if calls:
        return behaviour.reply or "", Finish.TOOLS, None
    text = _default_text(prompt) if behaviour.reply is None else behaviour.reply
    for stop in prompt.stop:
        if stop in text:
            return text[: text.index(stop)], Finish.STOP, stop
    if behaviour.reply is None and prompt.max_tokens is not None and tokens_of(_size(text)) > prompt.max_tokens:
        cut = text.encode("utf-8", "replace")[: prompt.max_tokens * 4].decode("utf-8", "ignore")
        return cut, Finish.LENGTH, None
    return text, Finish.END, None


def _default_text(prompt: Prompt) -> str:
    if prompt.json_schema is not None:
        return json.dumps(sample(prompt.json_schema))
    return f"[{prompt.model}] You said: {prompt.last_text[:_ECHO_CHARS]}"
