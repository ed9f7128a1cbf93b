"""A Call as the body of Anthropic's `POST /v1/messages` (anthropic-version 2026-10-21).

- The conversation goes as `conversation` arranges it: it begins and ends with the user. What the system says is
  `system`. This API knows `role: "system"` turns in mid-conversation, but not every model takes them; joined they keep
  their authority.
- A run of tool results, and the user's words after it, are one user turn.
- `temperature` is refused by this API version: left out, and named in `dropped_options`.
- `response_schema` becomes `output_config.format` in the vendor's subset (schema.py): what the subset cannot say is
  named, and a schema that would mean something else is left out.
- The API wants a `max_tokens`: where nobody asked for a limit, DEFAULT_MAX_TOKENS.
- Above NON_STREAMING_TOKENS the answer is asked for as a stream, as the vendor demands of long ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from cortexd.domain.messages import DEFAULT_MAX_TOKENS, Call, ImagePart, Message, Part, Role, Tool, ToolCall
from cortexd.domain.quirks import Quirk, Quirks
from cortexd.providers.anthropic.schema import adapted
from cortexd.providers.conversation import Manners, arranged
from cortexd.providers.conversation.calls import strict_id
from cortexd.providers.request_body import RequestBody, as_is, encode

NON_STREAMING_TOKENS = 21_333  # ten minutes at the vendor's 128,000 tokens an hour
Block = dict[str, Any]

_MANNERS = Manners(begins_with_user=True, ends_with_user=True, fit_id=strict_id)
_TOOL_CHOICE = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}


def request_body(call: Call, quirks: Quirks = frozenset(), *, stream: bool = False) -> RequestBody:
    """The request for `call`; pure. Raises ProviderError where the call cannot be written as JSON."""
    talk = arranged(call, _MANNERS)
    max_tokens = call.max_tokens or DEFAULT_MAX_TOKENS
    body: dict[str, Any] = {"model": call.model, "max_tokens": max_tokens, "messages": _turns(talk.turns)}
    if talk.system:
        body["system"] = talk.system
    dropped = [] if call.temperature is None else ["temperature"]
    if call.tools:
        body["tools"] = [_tool(tool, talk.sent) for tool in call.tools]
        if call.tool_choice is not None:
            dropped += _choose(body, call.tool_choice, talk.sent, quirks)
    if call.response_schema is not None:
        dropped += _constrain(body, call.response_schema, quirks)
    streamed = stream or (max_tokens > NON_STREAMING_TOKENS and Quirk.NO_STREAM not in quirks)
    if streamed:
        body["stream"] = True
    return RequestBody(encode(body), tuple(dropped), streamed, talk.names)


def _choose(body: dict[str, Any], choice: str, sent: Mapping[str, str], quirks: Quirks) -> list[str]:
    """Write the tool choice. Returns the options that were left out."""
    wanted = _TOOL_CHOICE.get(choice) or {"type": "tool", "name": sent.get(choice, choice)}
    if Quirk.NO_FORCED_TOOL in quirks and wanted["type"] in ("any", "tool"):
        return ["tool_choice"]
    body["tool_choice"] = wanted
    return []


def _constrain(body: dict[str, Any], response_schema: str, quirks: Quirks) -> list[str]:
    """Write the response schema. Returns what of it was left out."""
    found = None if Quirk.NO_RESPONSE_SCHEMA in quirks else adapted(json.loads(response_schema))
    if found is None:
        return ["response_schema"]
    body["output_config"] = {"format": {"type": "json_schema", "schema": found.schema}}
    return [f"response_schema.{keyword}" for keyword in found.lost]


def _turns(messages: Iterable[Message]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message.role is Role.ASSISTANT else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(_blocks(message))
        else:
            turns.append({"role": role, "content": _blocks(message)})
    return turns


def _blocks(message: Message) -> list[Block]:
    content = [_block(part) for part in message.parts()]
    if message.role is Role.TOOL:
        result: Block = {"type": "tool_result", "tool_use_id": message.tool_call_id}
        return [{**result, "content": content} if content else result]
    return content + [_tool_use(call) for call in message.tool_calls]


def _block(part: Part) -> Block:
    if isinstance(part, ImagePart):
        return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}
    return {"type": "text", "text": part.text}


def _tool_use(call: ToolCall) -> Block:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": as_is(call.arguments)}


def _tool(tool: Tool, sent: Mapping[str, str]) -> Block:
    block: Block = {"name": sent[tool.name], "input_schema": as_is(tool.parameters)}
    return {**block, "description": tool.description} if tool.description else block
