"""A Call as the body of an OpenAI-style `POST /chat/completions`.

Messages go as they are. Only what a model is known to refuse is left out (quirks) and named; where an endpoint
refuses anything else, its 400 is the failure.
`strict` is not asked for with a response schema, since it refuses every schema that is not closed in all its parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortexd.domain.messages import Call, ImagePart, Message, Part, Role, Tool, ToolCall
from cortexd.providers.openai import quirks
from cortexd.providers.request_body import Joined, RequestBody, as_is, encode

_TOOL_CHOICE_WORDS = frozenset({"auto", "none", "required"})
_SCHEMA_NAME = "answer"


def request_body(call: Call, *, stream: bool = False) -> RequestBody:
    """The request for `call`; pure. Raises ProviderError where the call cannot be written as JSON."""
    body: dict[str, Any] = {
        "model": call.model,
        "max_tokens": call.max_tokens,
        "messages": [_MESSAGE.get(message.role, _plain)(message) for message in call.messages],
    }
    if call.temperature is not None:
        body["temperature"] = call.temperature
    if call.tools:
        body["tools"] = [_tool(tool) for tool in call.tools]
        if call.tool_choice is not None:
            body["tool_choice"] = _tool_choice(call.tool_choice)
    if call.response_schema is not None:
        schema = {"name": _SCHEMA_NAME, "schema": as_is(call.response_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    dropped = quirks.fit(body)
    return RequestBody(encode(body), dropped, stream)


def _plain(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": message.role.value, "content": _content(message.content)}
    return fields if message.name is None else {**fields, "name": message.name}


def _assistant(message: Message) -> dict[str, Any]:
    fields = _plain(message)
    if message.tool_calls:
        fields["content"] = fields["content"] or None
        fields["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    return fields


def _tool_result(message: Message) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": message.tool_call_id, "content": _content(message.content)}


_MESSAGE: dict[Role, Callable[[Message], dict[str, Any]]] = {Role.ASSISTANT: _assistant, Role.TOOL: _tool_result}


def _content(content: str | tuple[Part, ...]) -> str | list[dict[str, Any]]:
    return content if isinstance(content, str) else [_part(part) for part in content] or ""


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        return {"type": "image_url", "image_url": {"url": Joined((f"data:{part.media_type};base64,", part.data))}}
    return {"type": "text", "text": part.text}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": as_is(tool.parameters)}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _tool_choice(choice: str) -> Any:
    return choice if choice in _TOOL_CHOICE_WORDS else {"type": "function", "function": {"name": choice}}
