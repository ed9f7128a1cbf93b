"""A Call as the body of an OpenAI-style `POST /chat/completions`.

The conversation goes as `conversation` arranges it, the system's part as one message before it. Only what a model is
known to refuse is left out (quirks) and named; where an endpoint refuses anything else, its 400 is the failure.

- Texts of one turn are one text: not every server takes a list (DeepSeek), nor its template more than one.
- An assistant's turn with tool calls and no words has an empty text: llama-cpp-python fails on null, Moonshot refuses
  an empty part, DeepSeek a turn without the field.
- `strict` is not asked for with a response schema, since it refuses every schema that is not closed in all its parts.
- No `max_tokens` where nobody asked for a limit: a server knows its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cortexd.domain.messages import Call, ImagePart, Message, Part, Role, TextPart, Tool, ToolCall
from cortexd.domain.quirks import Quirks
from cortexd.providers.conversation import arranged
from cortexd.providers.openai import quirks as quirks_
from cortexd.providers.request_body import Joined, RequestBody, as_is, encode

_TOOL_CHOICE_WORDS = frozenset({"auto", "none", "required"})
_SCHEMA_NAME = "answer"


def request_body(call: Call, quirks: Quirks = frozenset(), *, stream: bool = False) -> RequestBody:
    """The request for `call`; pure. Raises ProviderError where the call cannot be written as JSON."""
    talk = arranged(call, quirks_.manners(quirks))
    messages = [_MESSAGE.get(turn.role, _plain)(turn) for turn in talk.turns]
    if talk.system:
        messages.insert(0, {"role": "system", "content": talk.system})
    body: dict[str, Any] = {"model": call.model, "messages": messages}
    if call.max_tokens is not None:
        body["max_tokens"] = call.max_tokens
    if call.temperature is not None:
        body["temperature"] = call.temperature
    if call.tools:
        body["tools"] = [_tool(tool, talk.sent) for tool in call.tools]
        if call.tool_choice is not None:
            body["tool_choice"] = _tool_choice(call.tool_choice, talk.sent)
    if call.response_schema is not None:
        schema = {"name": _SCHEMA_NAME, "schema": as_is(call.response_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    dropped = quirks_.fit(body, quirks)
    return RequestBody(encode(body), dropped, stream, talk.names)


def _plain(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": message.role.value, "content": _content(message)}
    return fields if message.name is None else {**fields, "name": message.name}


def _assistant(message: Message) -> dict[str, Any]:
    fields = _plain(message)
    if message.tool_calls:
        fields["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    if message.reasoning:
        fields["reasoning_content"] = message.reasoning
    return fields


def _tool_result(message: Message) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": message.tool_call_id, "content": _content(message)}


_MESSAGE: dict[Role, Callable[[Message], dict[str, Any]]] = {Role.ASSISTANT: _assistant, Role.TOOL: _tool_result}


def _content(message: Message) -> str | list[dict[str, Any]]:
    parts = message.parts()
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    return "\n\n".join(texts) if len(texts) == len(parts) else [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        return {"type": "image_url", "image_url": {"url": Joined((f"data:{part.media_type};base64,", part.data))}}
    return {"type": "text", "text": part.text}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _tool(tool: Tool, sent: Mapping[str, str]) -> dict[str, Any]:
    function: dict[str, Any] = {"name": sent[tool.name], "parameters": as_is(tool.parameters)}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _tool_choice(choice: str, sent: Mapping[str, str]) -> Any:
    if choice in _TOOL_CHOICE_WORDS:
        return choice
    return {"type": "function", "function": {"name": sent.get(choice, choice)}}
