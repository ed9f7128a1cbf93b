"""Anthropic's messages. Source: docs.claude.com/en/api/messages, and what its SDKs read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from cortexd.bridge.asked import Asked, Body, given, lost, row, rows, text
from cortexd.bridge.failures import cut_short, status
from cortexd.bridge.formats import Format
from cortexd.client import Completion, DoneEvent, FallbackEvent, StreamEvent, TextEvent, ToolCallEvent
from cortexd.domain.messages import ToolCall
from cortexd.errors import BudgetExceeded, CortexError, InvalidArgument

_KNOWN = ("model", "messages", "system", "max_tokens", "stream", "temperature", "tools", "tool_choice", "metadata")
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_STOPPED = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_THOUGHTS = ("thinking", "redacted_thinking")
_WORDS = {
    400: "invalid_request_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_OUT_OF_MONEY = (402, "billing_error")


class MessagesFormat(Format):
    def asked(self, body: Body) -> Asked:
        missed: list[str] = []
        messages = list(_messages(body, missed))
        tools, other_tools = _tools(body)
        options = {
            "max_tokens": body.get("max_tokens"),
            "temperature": body.get("temperature"),
            "tools": tools or None,
            "tool_choice": _tool_choice(row(body.get("tool_choice"), "tool_choice")) if tools else None,
        }
        return Asked(
            text(body, "model"),
            messages,
            given(options),
            stream=body.get("stream") is True,
            session=text(row(body.get("metadata"), "metadata"), "user_id"),
            lost=tuple(dict.fromkeys((*lost(body, _KNOWN), *other_tools, *missed))),
        )

    def answer(self, completion: Completion) -> dict[str, Any]:
        said = [{"type": "text", "text": completion.content}] if completion.content else []
        used = [{**_begun(call), "input": _arguments(call)} for call in completion.tool_calls]
        return {
            **_head(completion.request_id, completion.model),
            "content": [*said, *used],
            "stop_reason": _stop_reason(completion),
            "usage": _usage(completion),
        }

    def telling(self, asked: Asked, request_id: str) -> MessagesTelling:
        return MessagesTelling(asked, request_id)

    def error(self, error: CortexError) -> tuple[int, dict[str, Any]]:
        code = status(error)
        if isinstance(error, BudgetExceeded):
            code, kind = _OUT_OF_MONEY
        else:
            kind = _WORDS.get(code, "api_error")
        return code, {"type": "error", "error": {"type": kind, "message": str(error)}}


class MessagesTelling:
    """Content blocks one after the other; a tool call's input comes whole."""

    def __init__(self, asked: Asked, request_id: str) -> None:
        self._model, self._request_id = asked.model, request_id
        self._index = 0
        self._open = False

    def begin(self) -> bytes:
        usage = {"input_tokens": 0, "output_tokens": 0}
        message = {**_head(self._request_id, self._model), "content": [], "stop_reason": None, "usage": usage}
        return _sse("message_start", message=message)

    def event(self, event: StreamEvent) -> bytes:
        match event:
            case TextEvent(piece):
                begun = b"" if self._open else self._start({"type": "text", "text": ""})
                return begun + self._delta({"type": "text_delta", "text": piece})
            case ToolCallEvent(call):
                begun = self._stop() + self._start({**_begun(call), "input": {}})
                told = self._delta({"type": "input_json_delta", "partial_json": call.arguments or "{}"})
                return begun + told + self._stop()
            case FallbackEvent() if self._open or self._index:
                return self.failed(cut_short())
            case DoneEvent(completion):
                return self._stop() + self._end(completion)
        return b""

    def failed(self, error: CortexError) -> bytes:
        body = MessagesFormat().error(error)[1]
        return _sse("error", error=body["error"])

    def _end(self, completion: Completion) -> bytes:
        delta = {"stop_reason": _stop_reason(completion), "stop_sequence": None}
        return _sse("message_delta", delta=delta, usage=_usage(completion)) + _sse("message_stop")

    def _start(self, block: dict[str, Any]) -> bytes:
        self._open = True
        return _sse("content_block_start", index=self._index, content_block=block)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _sse("content_block_delta", index=self._index, delta=delta)

    def _stop(self) -> bytes:
        if not self._open:
            return b""
        self._open, index, self._index = False, self._index, self._index + 1
        return _sse("content_block_stop", index=index)


def _sse(kind: str, **more: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode({"type": kind, **more}) + b"\n\n"


def _head(request_id: str, model: str) -> dict[str, Any]:
    known = {"id": f"msg_{request_id}", "type": "message", "role": "assistant", "model": model}
    return {**known, "stop_sequence": None}


def _messages(body: Body, missed: list[str]) -> Iterator[dict[str, Any]]:
    system = body.get("system")
    if isinstance(system, str):
        yield {"role": "system", "content": system}
    elif system is not None:
        yield {
            "role": "system",
            "content": [{"type": "text", "text": part.get("text")} for part in rows(system, "system")],
        }
    for index, message in enumerate(rows(body.get("messages"), "messages")):
        path, role, content = f"messages[{index}]", message.get("role"), message.get("content")
        if not isinstance(content, list):
            yield {"role": role, "content": content}
            continue
        blocks = rows(content, f"{path}.content")
        yield from _results(blocks, path, missed)
        said = [
            _part(block, path) for block in blocks if block.get("type") not in ("tool_result", "tool_use", *_THOUGHTS)
        ]
        used = [_call(block) for block in blocks if block.get("type") == "tool_use"]
        missed += [f"content.{block['type']}" for block in blocks if block.get("type") in _THOUGHTS]
        if said or used:
            yield {"role": role, "content": said or "", **({"tool_calls": used} if used else {})}


def _results(blocks: Any, path: str, missed: list[str]) -> Iterator[dict[str, Any]]:
    """Results of tools are messages of their own on the bus, and texts: an image goes on as the user's."""
    for block in blocks:
        if block.get("type") != "tool_result":
            continue
        content = block.get("content")
        if isinstance(content, list):
            parts = [_part(part, path) for part in rows(content, path)]
            if any(part["type"] != "text" for part in parts):
                missed.append("tool_result.image")
            content = [part for part in parts if part["type"] == "text"] or ""
        yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": content or ""}


def _part(block: Body, path: str) -> dict[str, Any]:
    if block.get("type") == "text":
        return {"type": "text", "text": block.get("text")}
    source = row(block.get("source"), f"{path}.source")
    if block.get("type") == "image" and source.get("type") == "base64":
        return {"type": "image", "media_type": source.get("media_type"), "data": source.get("data")}
    raise InvalidArgument(
        f"{path}: expected text, tool_use, tool_result, or an image as base64, got {block.get('type')!r:.40}"
    )


def _call(block: Body) -> dict[str, Any]:
    return {"id": block.get("id"), "name": block.get("name"), "arguments": json.dumps(block.get("input") or {})}


def _tools(body: Body) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    tools = rows(body.get("tools"), "tools")
    own = [tool for tool in tools if tool.get("type") in (None, "custom")]
    others = tuple(f"tools.{tool.get('type')}" for tool in tools if tool not in own)
    return [
        {
            "name": tool.get("name"),
            "description": tool.get("description") or "",
            "parameters": tool.get("input_schema") or {},
        }
        for tool in own
    ], others


def _tool_choice(choice: Body) -> str | None:
    kind = choice.get("type")
    return text(choice, "name") if kind == "tool" else _CHOICES.get(str(kind))


def _begun(call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name}


def _arguments(call: ToolCall) -> Any:
    try:
        return json.loads(call.arguments or "{}")
    except ValueError:
        return {"arguments": call.arguments}  # what the model said, though it is no JSON


def _stop_reason(completion: Completion) -> str:
    if completion.tool_calls:
        return "tool_use"
    return _STOPPED.get(completion.finish_reason, "end_turn")


def _usage(completion: Completion) -> dict[str, Any]:
    """Anthropic counts what came from the cache beside the input, and not in it."""
    tokens = completion.tokens
    return {
        "input_tokens": max(0, tokens.input - tokens.cached),
        "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": tokens.output,
    }
