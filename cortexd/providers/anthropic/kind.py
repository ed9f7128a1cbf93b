"""The API kind `anthropic`, for providers/kinds.py."""

from __future__ import annotations

from typing import Any

from cortexd.providers.anthropic.answer import read_answer
from cortexd.providers.anthropic.request import request_body
from cortexd.providers.anthropic.stream import EventCollector
from cortexd.providers.error_forms import FAILURE_SHAPE
from cortexd.providers.kinds import ApiKind, Sdk, SdkCall, Shape

_USAGE = {
    "input_tokens": None,
    "output_tokens": None,
    "cache_read_input_tokens": None,
    "cache_creation_input_tokens": None,
    "cache_creation": {"ephemeral_5m_input_tokens": None, "ephemeral_1h_input_tokens": None},
    "output_tokens_details": {"thinking_tokens": None},
}
_BLOCK = {"type": None, "text": None, "thinking": None, "id": None, "name": None, "input": None}
_MESSAGE: dict[str, Shape] = {
    **FAILURE_SHAPE,
    "content": [_BLOCK],
    "model": None,
    "stop_reason": None,
    "usage": _USAGE,
}
_EVENT: dict[str, Shape] = {
    **FAILURE_SHAPE,
    "type": None,
    "index": None,
    "message": _MESSAGE,
    "content_block": _BLOCK,
    "delta": {"text": None, "partial_json": None, "thinking": None, "stop_reason": None},
    "usage": _USAGE,
}


def _with_types(message: Any) -> Any:
    """A block that does not say its type is text where it holds text, a tool call otherwise."""
    blocks = message.get("content") if isinstance(message, dict) else None
    for block in blocks if isinstance(blocks, list) else ():
        if isinstance(block, dict):
            block.setdefault("type", "text" if "text" in block else "tool_use")
    return message


KIND = ApiKind(
    path="/v1/messages",
    request=request_body,
    read=read_answer,
    collector=EventCollector,
    sdk=Sdk(
        module="anthropic",
        blocking="Anthropic",
        asynchronous="AsyncAnthropic",
        options={"open_telemetry": False},
        environment=("_custom_headers",),  # ANTHROPIC_CUSTOM_HEADERS
        unasked=("anthropic.lib._tracing", "anthropic._error_classes"),
    ),
    sdk_call=SdkCall(
        method=lambda client: client.messages.create,
        named=frozenset({"model", "max_tokens", "messages", "system", "tools", "tool_choice", "stream"}),
        streaming={"stream": True},
        answer=_MESSAGE,
        event=_EVENT,
        whole="content",
        completed=_with_types,
    ),
    models="/v1/models?limit=1000",
    key_headers=lambda key: {"x-api-key": key, "anthropic-version": "2023-06-01"},
)
