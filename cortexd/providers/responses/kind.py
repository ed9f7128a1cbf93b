"""The API kind `responses`, for providers/kinds.py."""

from __future__ import annotations

from typing import Any

from cortexd.providers.error_forms import FAILURE_SHAPE
from cortexd.providers.kinds import ApiKind, SdkCall, Shape
from cortexd.providers.openai.kind import SDK
from cortexd.providers.responses.answer import CALL, MESSAGE, read_answer
from cortexd.providers.responses.request import LEAST_TOKENS, request_body
from cortexd.providers.responses.stream import EventCollector

_USAGE: dict[str, Shape] = {
    "input_tokens": None,
    "output_tokens": None,
    "total_tokens": None,
    "input_tokens_details": {"cached_tokens": None, "cache_write_tokens": None},
    "output_tokens_details": {"reasoning_tokens": None},
}
_ITEM: dict[str, Shape] = {
    "type": None,
    "id": None,
    "status": None,
    "content": [{"text": None, "refusal": None}],
    "summary": [{"text": None}],
    "call_id": None,
    "name": None,
    "arguments": None,
}
_RESPONSE: dict[str, Shape] = {
    **FAILURE_SHAPE,
    "error": {"code": None, "message": None, "type": None},
    "output": [_ITEM],
    "output_text": None,
    "status": None,
    "incomplete_details": {"reason": None},
    "model": None,
    "usage": _USAGE,
}
_EVENT: dict[str, Shape] = {
    **FAILURE_SHAPE,
    "type": None,
    "delta": None,
    "output_index": None,
    "item_id": None,
    "item": _ITEM,
    "arguments": None,
    "response": _RESPONSE,
}
_TO_V1 = "add /v1 to providers.{name}.base_url"
_TO_CHAT = '; this endpoint has no responses API: set api = "openai" for providers.{name}'


def _with_items(response: Any) -> Any:
    """`output_text` alone is a message; an item that does not say its type is one where it has content, a tool call
    otherwise."""
    if not isinstance(response, dict):
        return response
    if not response.get("output") and isinstance(response.get("output_text"), str):
        response["output"] = [{"type": MESSAGE, "content": response["output_text"]}]
    for item in response["output"] if isinstance(response.get("output"), list) else ():
        if isinstance(item, dict):
            item.setdefault("type", MESSAGE if "content" in item else CALL)
    return response


KIND = ApiKind(
    path="/responses",
    request=request_body,
    read=read_answer,
    collector=EventCollector,
    sdk=SDK,
    sdk_call=SdkCall(
        method=lambda client: client.responses.create,
        named=frozenset(
            {"model", "input", "instructions", "max_output_tokens", "temperature", "tools", "tool_choice", "text",
             "store", "stream"}
        ),
        streaming={"stream": True},
        answer=_RESPONSE,
        event=_EVENT,
        whole="output",
        completed=_with_items,
    ),
    elsewhere={
        "/v1/responses": f"; the endpoint answers below /v1: {_TO_V1}",
        "/chat/completions": _TO_CHAT,
        "/v1/chat/completions": f"{_TO_CHAT} and {_TO_V1}",
    },
    least_tokens=LEAST_TOKENS,
)  # fmt: skip
