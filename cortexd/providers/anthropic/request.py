"""A Call as the body of Anthropic's `POST /v1/messages` (anthropic-version 2026-10-21).

- All system messages, wherever they stand, are joined into `system`, with a blank line between them. This API knows
  `role: "system"` turns in mid-conversation, but not every model takes them; joined they keep their authority.
- A run of tool results, and the user's words after it, are one user turn; so are consecutive turns of one role.
- Text blocks of nothing but white space, and turns left without a block, are dropped: the API refuses them.
- `temperature` is refused by this API version: left out, and named in `dropped_options`.
- `response_schema` becomes `output_config.format`, in the subset that the vendor's SDK makes of it (`adapt_schema`);
  a schema that has no such form is left out and named.
- Above NON_STREAMING_TOKENS the answer is asked for as a stream, as the vendor demands of long ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from cortexd.domain.messages import Call, ImagePart, Message, Part, Role, Tool, ToolCall
from cortexd.providers.request_body import RequestBody, as_is, encode

NON_STREAMING_TOKENS = 21_333  # ten minutes at the vendor's 128,000 tokens an hour
SchemaAdapter = Callable[[dict[str, Any]], dict[str, Any]]
Block = dict[str, Any]

_TOOL_CHOICE = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}
_NOT_IN_ID = re.compile(r"[^a-zA-Z0-9_-]")


def request_body(call: Call, adapt_schema: SchemaAdapter, *, stream: bool = False) -> RequestBody:
    """The request for `call`; pure. Raises ProviderError where the call cannot be written as JSON."""
    body: dict[str, Any] = {"model": call.model, "max_tokens": call.max_tokens, "messages": _turns(call.messages)}
    if system := "\n\n".join(_system_texts(call.messages)):
        body["system"] = system
    if call.tools:
        body["tools"] = [_tool(tool) for tool in call.tools]
        if call.tool_choice is not None:
            body["tool_choice"] = _TOOL_CHOICE.get(call.tool_choice) or {"type": "tool", "name": call.tool_choice}
    dropped = [] if call.temperature is None else ["temperature"]
    if call.response_schema is not None:
        schema = _adapted(call.response_schema, adapt_schema)
        if schema is None:
            dropped.append("response_schema")
        else:
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    streamed = stream or call.max_tokens > NON_STREAMING_TOKENS
    if streamed:
        body["stream"] = True
    return RequestBody(encode(body), tuple(dropped), streamed)


def _system_texts(messages: Iterable[Message]) -> Iterable[str]:
    return (text for message in messages if message.role is Role.SYSTEM and (text := message.text()).strip())


def _turns(messages: Iterable[Message]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for message in messages:
        blocks = [] if message.role is Role.SYSTEM else _blocks(message)
        role = "assistant" if message.role is Role.ASSISTANT else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        elif blocks:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        turn["content"].sort(key=_after_results)
    return turns


def _after_results(block: Block) -> bool:
    """The API wants a turn's tool results before all else in it; the rest keeps its order."""
    return bool(block["type"] != "tool_result")


def _blocks(message: Message) -> list[Block]:
    content = [block for part in message.parts() if (block := _block(part)) is not None]
    if message.role is Role.TOOL:
        result: Block = {"type": "tool_result", "tool_use_id": _id(message.tool_call_id or "")}
        return [{**result, "content": content} if content else result]
    return content + [_tool_use(call) for call in message.tool_calls]


def _block(part: Part) -> Block | None:
    if isinstance(part, ImagePart):
        return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}
    return {"type": "text", "text": part.text} if part.text.strip() else None


def _tool_use(call: ToolCall) -> Block:
    return {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": _input(call.arguments)}


def _input(arguments: str) -> Any:
    """The arguments as the object that the API wants; text that is none goes under one name, for the model to see."""
    if not arguments.strip():
        return {}
    try:
        is_object = isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        is_object = False
    return as_is(arguments) if is_object else {"arguments": arguments}


def _id(tool_call_id: str) -> str:
    """Other vendors' ids in the characters that this API takes (Kimi writes `functions.name:0`)."""
    return _NOT_IN_ID.sub("_", tool_call_id)


def _tool(tool: Tool) -> Block:
    block: Block = {"name": tool.name, "input_schema": as_is(tool.parameters)}
    return {**block, "description": tool.description} if tool.description else block


def _adapted(response_schema: str, adapt_schema: SchemaAdapter) -> dict[str, Any] | None:
    try:
        return adapt_schema(json.loads(response_schema))
    # What the SDK's function raises for schemas it has no form for: also assertions and its own dict look-ups.
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError, RecursionError):
        return None
