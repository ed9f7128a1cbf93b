"""How each vendor's SDK is called: which method, with which keyword arguments, and how its answer is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cortexd.config.settings import Api
from cortexd.domain.messages import Answer, Call
from cortexd.library.in_process.reading import COMPLETION, MESSAGE, completion_body, message_body, seen
from cortexd.library.in_process.stream_readers import ChunkReader, EventReader, StreamReader
from cortexd.providers.anthropic import answer as anthropic_answer
from cortexd.providers.anthropic import request as anthropic_request
from cortexd.providers.openai import answer as openai_answer
from cortexd.providers.openai import request as openai_request
from cortexd.providers.request_body import RequestBody


@dataclass(frozen=True, slots=True)
class Vendor:
    """`create` finds the method on a client. `fields` are what it takes by name; others go into `extra_body`."""

    create: Callable[[Any], Callable[..., Any]]
    fields: frozenset[str]
    body: Callable[[Call], RequestBody]
    read: Callable[[Any, str], Answer]
    is_whole: Callable[[Any], bool]
    stream_reader: Callable[[str, int], StreamReader]
    stream_fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """Keyword arguments for `create`. `streamed`: the answer comes as events, also where a whole one was asked for."""

    arguments: dict[str, Any]
    dropped_options: tuple[str, ...]
    streamed: bool


def request_of(vendor: Vendor, call: Call, *, stream: bool) -> Request:
    """`call` in the vendor's words. Raises ProviderError where it cannot be written as JSON."""
    body = vendor.body(call)
    fields: dict[str, Any] = json.loads(body.content)
    streamed = stream or body.streamed
    if streamed:
        fields |= vendor.stream_fields
    arguments = {name: value for name, value in fields.items() if name in vendor.fields}
    if extra := {name: value for name, value in fields.items() if name not in vendor.fields}:
        arguments["extra_body"] = extra
    return Request(arguments, body.dropped_options, streamed)


def _anthropic_body(call: Call) -> RequestBody:
    return anthropic_request.request_body(call, lambda schema: schema)


VENDORS: dict[Api, Vendor] = {
    "anthropic": Vendor(
        create=lambda client: client.messages.create,
        fields=frozenset({"model", "max_tokens", "messages", "system", "tools", "tool_choice", "stream"}),
        body=_anthropic_body,
        read=lambda message, model: anthropic_answer.read_answer(message_body(message), model),
        is_whole=lambda message: bool((seen(message, MESSAGE) or {}).get("content")),
        stream_reader=EventReader,
        stream_fields={"stream": True},
    ),
    "openai": Vendor(
        create=lambda client: client.chat.completions.create,
        fields=frozenset(
            {"model", "max_tokens", "messages", "temperature", "tools", "tool_choice", "stream", "stream_options"}
        ),
        body=openai_request.request_body,
        read=lambda completion, model: openai_answer.read_answer(completion_body(completion), model),
        is_whole=lambda completion: bool((seen(completion, COMPLETION) or {}).get("choices")),
        stream_reader=ChunkReader,
        stream_fields={"stream": True, "stream_options": {"include_usage": True}},
    ),
}
