"""A Call as the body of `POST /responses` (openai 3.54, types/responses/response_create_params.py).

The conversation goes as `conversation` arranges it, the system's part as `instructions`. Tool calls and their results
are items of their own beside the turns.

- Nothing is kept at the provider (`store` false), and no reasoning goes back: what a provider would take of it is
  encrypted, and we keep none.
- Functions are strict here unless that is denied, and strict refuses every schema that is not closed in all its parts.
- `stream` is said also where it is not wanted: transformers serve streams where nothing is said of it.
- OpenAI refuses an answer of fewer than LEAST_TOKENS; what is reserved for one knows (ApiKind.least_tokens).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cortexd.domain.messages import Call, ImagePart, Message, Part, Role, TextPart, Tool, ToolCall
from cortexd.domain.quirks import Quirk, Quirks
from cortexd.providers.conversation import arranged
from cortexd.providers.openai.quirks import manners
from cortexd.providers.request_body import Joined, RequestBody, as_is, encode

LEAST_TOKENS = 16
_TOOL_CHOICE_WORDS = frozenset({"auto", "none", "required"})
_UNFORCED = ("auto", "none", None)
_SCHEMA_NAME = "answer"
Item = dict[str, Any]


def request_body(call: Call, quirks: Quirks = frozenset(), *, stream: bool = False) -> RequestBody:
    """The request for `call`; pure. Raises ProviderError where the call cannot be written as JSON."""
    talk = arranged(call, manners(quirks))
    items = [item for turn in talk.turns for item in _ITEMS.get(turn.role, _message)(turn)]
    body: dict[str, Any] = {"model": call.model, "input": items, "store": False}
    if stream or Quirk.NO_STREAM not in quirks:
        body["stream"] = stream
    if talk.system:
        body["instructions"] = talk.system
    if call.max_tokens is not None:
        body["max_output_tokens"] = max(call.max_tokens, LEAST_TOKENS)
    if call.temperature is not None:
        body["temperature"] = call.temperature
    if call.tools:
        body["tools"] = [_tool(tool, talk.sent) for tool in call.tools]
        if call.tool_choice is not None:
            body["tool_choice"] = _tool_choice(call.tool_choice, talk.sent)
    if call.response_schema is not None:
        schema = {"type": "json_schema", "name": _SCHEMA_NAME, "schema": as_is(call.response_schema), "strict": False}
        body["text"] = {"format": schema}
    dropped = _fit(body, quirks)
    return RequestBody(encode(body), dropped, stream, talk.names)


def _fit(body: dict[str, Any], quirks: Quirks) -> tuple[str, ...]:
    """Take out of `body` what its model refuses. Returns the options that were left out."""
    forced = Quirk.NO_FORCED_TOOL in quirks and body.get("tool_choice") not in _UNFORCED
    refused = (
        (Quirk.NO_TEMPERATURE in quirks, "temperature", "temperature"),
        (Quirk.NO_RESPONSE_SCHEMA in quirks, "text", "response_schema"),
        (forced, "tool_choice", "tool_choice"),
    )
    return tuple(option for stands, field, option in refused if stands and body.pop(field, None) is not None)


def _message(message: Message) -> list[Item]:
    """A turn of the user's. This API has no names."""
    return [{"role": message.role.value, "content": _content(message)}]


def _assistant(message: Message) -> list[Item]:
    said = [{"role": "assistant", "content": message.text()}] if message.text() else []
    return [*said, *map(_function_call, message.tool_calls)]


def _tool_result(message: Message) -> list[Item]:
    return [{"type": "function_call_output", "call_id": message.tool_call_id, "output": _content(message)}]


_ITEMS: dict[Role, Callable[[Message], list[Item]]] = {Role.ASSISTANT: _assistant, Role.TOOL: _tool_result}


def _content(message: Message) -> str | list[Item]:
    """Texts as one text, which every server takes; with an image among them as a list."""
    parts = message.parts()
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    return "\n\n".join(texts) if len(texts) == len(parts) else [_part(part) for part in parts]


def _part(part: Part) -> Item:
    if isinstance(part, ImagePart):
        url = Joined((f"data:{part.media_type};base64,", part.data))
        return {"type": "input_image", "image_url": url, "detail": "auto"}
    return {"type": "input_text", "text": part.text}


def _function_call(call: ToolCall) -> Item:
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}


def _tool(tool: Tool, sent: Mapping[str, str]) -> Item:
    function: Item = {"type": "function", "name": sent[tool.name], "parameters": as_is(tool.parameters)}
    if tool.description:
        function["description"] = tool.description
    return {**function, "strict": False}


def _tool_choice(choice: str, sent: Mapping[str, str]) -> Any:
    return choice if choice in _TOOL_CHOICE_WORDS else {"type": "function", "name": sent.get(choice, choice)}
