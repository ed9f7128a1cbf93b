"""OpenAI's chat completions. Source: developers.openai.com/api/reference, and what its SDKs read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from cortexd.bridge.asked import Asked, Body, content, given, image_of, lost, row, rows, text
from cortexd.bridge.failures import cut_short
from cortexd.bridge.formats import Format
from cortexd.bridge.formats.openai import failure, functions, role_of
from cortexd.client import Completion, DoneEvent, FallbackEvent, StreamEvent, TextEvent, ToolCallEvent
from cortexd.domain.messages import ToolCall
from cortexd.errors import CortexError, InvalidArgument

_KNOWN = (
    *("model", "messages", "stream", "stream_options", "temperature", "max_tokens", "max_completion_tokens", "tools"),
    *("tool_choice", "response_format", "prompt_cache_key", "user", "n", "store", "metadata", "parallel_tool_calls"),
    *("safety_identifier", "prompt_cache_retention"),
)
_FINISH = ("stop", "length", "tool_calls", "content_filter")


class ChatFormat(Format):
    def asked(self, body: Body) -> Asked:
        if body.get("n") not in (None, 1):
            raise InvalidArgument("n: expected 1; ask again for another answer")
        tools, other_tools = functions(body, lambda tool: row(tool.get("function"), "tools.function"))
        options = {
            "temperature": body.get("temperature"),
            "max_tokens": body.get("max_completion_tokens") or body.get("max_tokens"),
            "tools": tools or None,
            "tool_choice": _tool_choice(body.get("tool_choice")) if tools else None,
            "response_schema": _schema(row(body.get("response_format"), "response_format")),
        }
        return Asked(
            text(body, "model"),
            list(_messages(body)),
            given(options),
            stream=body.get("stream") is True,
            tells_usage=row(body.get("stream_options"), "stream_options").get("include_usage") is True,
            session=text(body, "prompt_cache_key"),
            lost=(*lost(body, _KNOWN), *other_tools, *_lost_form(body)),
        )

    def answer(self, completion: Completion) -> dict[str, Any]:
        calls = [_call(call) for call in completion.tool_calls]
        message: dict[str, Any] = {"role": "assistant", "content": completion.content or None, "refusal": None}
        if not calls:
            message["content"] = completion.content
        else:
            message["tool_calls"] = calls
        if completion.reasoning_content:
            message["reasoning_content"] = completion.reasoning_content
        choice = {"index": 0, "message": message, "finish_reason": _finish(completion), "logprobs": None}
        return {
            "id": f"chatcmpl-{completion.request_id}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": completion.model,
            "choices": [choice],
            "usage": _usage(completion),
        }

    def telling(self, asked: Asked, request_id: str) -> ChatTelling:
        return ChatTelling(asked, request_id)

    def error(self, error: CortexError) -> tuple[int, dict[str, Any]]:
        return failure(error)


class ChatTelling:
    """One chunk per piece; a tool call comes whole."""

    def __init__(self, asked: Asked, request_id: str) -> None:
        self._tells_usage = asked.tells_usage
        self._head = {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": asked.model,
        }
        self._calls = 0
        self._told = False

    def begin(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def event(self, event: StreamEvent) -> bytes:
        match event:
            case TextEvent(piece):
                self._told = True
                return self._chunk({"content": piece})
            case ToolCallEvent(call):
                self._told, number = True, self._calls
                self._calls += 1
                return self._chunk({"tool_calls": [{"index": number, **_call(call)}]})
            case FallbackEvent() if self._told:
                return self.failed(cut_short())
            case DoneEvent(completion):
                return self._end(completion)
        return b""

    def failed(self, error: CortexError) -> bytes:
        return _sse(failure(error)[1])

    def _end(self, completion: Completion) -> bytes:
        self._head["model"] = completion.model
        last = self._chunk({}, _finish(completion))
        usage = _sse({**self._head, "choices": [], "usage": _usage(completion)}) if self._tells_usage else b""
        return last + usage + b"data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _sse({**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _sse(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _messages(body: Body) -> Iterator[dict[str, Any]]:
    for index, message in enumerate(rows(body.get("messages"), "messages")):
        path = f"messages[{index}]"
        plain = {
            "role": role_of(message),
            "content": content(message.get("content"), f"{path}.content", _part),
            "tool_calls": [_called(call, path) for call in rows(message.get("tool_calls"), f"{path}.tool_calls")]
            or None,
            "tool_call_id": message.get("tool_call_id"),
            "reasoning_content": message.get("reasoning_content"),
        }
        yield given(plain)


def _part(part: Body, path: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        return {"type": "text", "text": part.get(kind)}
    if kind == "image_url":
        return image_of(text(row(part.get("image_url"), f"{path}.image_url"), "url"), f"{path}.image_url.url")
    raise InvalidArgument(f"{path}: expected parts of type text or image_url, got {kind!r:.40}")


def _called(call: Body, path: str) -> dict[str, Any]:
    function = row(call.get("function"), f"{path}.tool_calls.function")
    if not function:
        raise InvalidArgument(f"{path}.tool_calls: expected calls of functions")
    return {"id": call.get("id"), "name": function.get("name"), "arguments": function.get("arguments") or "{}"}


def _tool_choice(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return text(row(row(value, "tool_choice").get("function"), "tool_choice.function"), "name") or None


def _lost_form(body: Body) -> tuple[str, ...]:
    kind = row(body.get("response_format"), "response_format").get("type")
    return () if kind in (None, "text", "json_schema") else (f"response_format.{kind}",)


def _schema(response_format: Body) -> Any:
    if response_format.get("type") != "json_schema":
        return None
    return row(response_format.get("json_schema"), "response_format.json_schema").get("schema")


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish(completion: Completion) -> str:
    if completion.finish_reason in _FINISH:
        return completion.finish_reason
    return "tool_calls" if completion.tool_calls else "stop"


def _usage(completion: Completion) -> dict[str, Any]:
    tokens = completion.tokens
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }
