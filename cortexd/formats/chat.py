"""OpenAI's chat completions. Source: developers.openai.com/api/reference, and what its SDKs read."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from cortexd.domain.messages import ToolCall
from cortexd.errors import CortexError, InvalidArgument
from cortexd.formats.asked import (
    Asked,
    Body,
    Missed,
    content,
    custom_arguments,
    given,
    image_of,
    kind_of,
    lost,
    row,
    rows,
    text,
)
from cortexd.formats.extras import ROUTED, SEARCHES, Extras, largest, limit, of_parts, paid_tools, said, tier
from cortexd.formats.form import Answered, Format, Telling
from cortexd.formats.openai import chosen, failure, functions, role_of

_KNOWN = (
    *("model", "messages", "stream", "stream_options", "temperature", "max_tokens", "max_completion_tokens", "tools"),
    *("tool_choice", "response_format", "prompt_cache_key", "user", "n", "store", "metadata", "parallel_tool_calls"),
    *("safety_identifier", "prompt_cache_retention", "audio", "modalities"),
)
_FINISH = ("stop", "length", "tool_calls", "content_filter")
_FREE_TOOLS = ("function", "custom")
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw]
    usage: dict[str, msgspec.Raw] | None = None


class ChatFormat(Format):
    name = "openai"

    def asked(self, body: Body) -> Asked:
        missed = Missed()
        missed.leave_out(*lost(body, _KNOWN))
        tools = functions(body, lambda tool: row(tool.get("function"), "tools.function"), missed)
        options = {
            "temperature": body.get("temperature"),
            "max_tokens": limit(body, "max_completion_tokens", "max_tokens"),
            "tools": tools or None,
            "tool_choice": _tool_choice(body.get("tool_choice"), tools, missed),
            "response_schema": _schema(row(body.get("response_format"), "response_format"), missed),
        }
        _need_for_answer(body, missed)
        return Asked(
            text(body, "model"),
            list(_messages(body, missed)),
            given(options),
            stream=body.get("stream") is True,
            tells_usage=row(body.get("stream_options"), "stream_options").get("include_usage") is True,
            session=text(body, "prompt_cache_key"),
            lost=missed.lost,
            native=missed.native,
        )

    def most_output(self, body: Body) -> tuple[int | None, int]:
        return largest(body, "max_completion_tokens", "max_tokens"), limit(body, "n") or 1

    def extras(self, body: Body) -> Extras:
        rates, beyond = of_parts(body.get("messages"), "content")
        modalities = body.get("modalities")
        told = (
            [f"modalities.{one!s:.40}" for one in modalities if one != "text"] if isinstance(modalities, list) else []
        )
        fees = (*said(body, *SEARCHES), *paid_tools(body, lambda tool: tool.get("type") in _FREE_TOOLS))
        return Extras((*tier(body), *said(body, *ROUTED), *told, *rates), fees, beyond)

    def answer(self, answered: Answered) -> dict[str, Any]:
        calls = [_call(call) for call in answered.tool_calls]
        message: dict[str, Any] = {"role": "assistant", "content": answered.content or None, "refusal": None}
        if not calls:
            message["content"] = answered.content
        else:
            message["tool_calls"] = calls
        if answered.reasoning:
            message["reasoning_content"] = answered.reasoning
        choice = {"index": 0, "message": message, "finish_reason": _finish(answered), "logprobs": None}
        return {
            "id": f"chatcmpl-{answered.request_id}",
            "object": "chat.completion",
            "created": answered.created,
            "model": answered.model,
            "choices": [choice],
            "usage": _usage(answered),
        }

    def telling(self, asked: Asked, request_id: str) -> ChatTelling:
        return ChatTelling(asked, request_id)

    def error(self, error: CortexError) -> tuple[int, dict[str, Any]]:
        return failure(error)

    def failed(self, error: CortexError) -> bytes:
        return _sse(failure(error)[1])

    def unasked(self, data: bytes) -> bool:
        if not _NO_CHOICES.search(data):
            return False
        try:
            chunk = msgspec.json.decode(data, type=_Chunk)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return False
        return not chunk.choices and chunk.usage is not None


class ChatTelling(Telling):
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

    def begin(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def text(self, piece: str) -> bytes:
        return self._chunk({"content": piece})

    def tool_call(self, call: ToolCall) -> bytes:
        self._calls, number = self._calls + 1, self._calls
        return self._chunk({"tool_calls": [{"index": number, **_call(call)}]})

    def done(self, answered: Answered) -> bytes:
        self._head["model"] = answered.model
        last = self._chunk({}, _finish(answered))
        usage = _sse({**self._head, "choices": [], "usage": _usage(answered)}) if self._tells_usage else b""
        return last + usage + b"data: [DONE]\n\n"

    def failed(self, error: CortexError) -> bytes:
        return _sse(failure(error)[1])

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _sse({**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _sse(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _need_for_answer(body: Body, missed: Missed) -> None:
    if body.get("n") not in (None, 1):
        missed.need("n")
    if body.get("modalities") not in (None, [], ["text"]):
        missed.need("modalities")


def _messages(body: Body, missed: Missed) -> Iterator[dict[str, Any]]:
    for index, message in enumerate(rows(body.get("messages"), "messages")):
        path = f"messages[{index}]"
        calls = rows(message.get("tool_calls"), f"{path}.tool_calls")
        plain = {
            "role": role_of(message),
            "content": content(message.get("content"), f"{path}.content", lambda part, at: _part(part, at, missed)),
            "tool_calls": [_called(call, path, missed) for call in calls] or None,
            "tool_call_id": message.get("tool_call_id"),
            "reasoning_content": message.get("reasoning_content"),
        }
        yield given(plain)


def _part(part: Body, path: str, missed: Missed) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        return {"type": "text", "text": part.get(kind)}
    if kind == "image_url":
        return image_of(text(row(part.get("image_url"), f"{path}.image_url"), "url"), f"{path}.image_url.url", missed)
    return missed.need(f"content.{kind_of(part)}")


def _called(call: Body, path: str, missed: Missed) -> dict[str, Any]:
    if call.get("type") == "custom":
        missed.leave_out("tool_calls.custom")
        custom = row(call.get("custom"), f"{path}.tool_calls.custom")
        arguments = msgspec.json.encode(custom_arguments(custom.get("input"))).decode()
        return {"id": call.get("id"), "name": custom.get("name"), "arguments": arguments}
    function = row(call.get("function"), f"{path}.tool_calls.function")
    if not function:
        raise InvalidArgument(f"{path}.tool_calls: expected calls of functions")
    return {"id": call.get("id"), "name": function.get("name"), "arguments": function.get("arguments") or "{}"}


def _tool_choice(value: object, tools: list[dict[str, Any]], missed: Missed) -> str | None:
    function = row(value, "tool_choice").get("function") if not isinstance(value, str) else None
    return chosen(value, row(function, "tool_choice.function").get("name"), tools, missed)


def _schema(response_format: Body, missed: Missed) -> Any:
    kind = response_format.get("type")
    if kind == "json_schema":
        return row(response_format.get("json_schema"), "response_format.json_schema").get("schema")
    if kind not in (None, "text"):
        missed.leave_out(f"response_format.{kind!s:.40}")
    return None


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish(answered: Answered) -> str:
    if answered.finish_reason in _FINISH:
        return answered.finish_reason
    return "tool_calls" if answered.tool_calls else "stop"


def _usage(answered: Answered) -> dict[str, Any]:
    tokens = answered.tokens
    return {
        "prompt_tokens": tokens.input_tokens,
        "completion_tokens": tokens.output_tokens,
        "total_tokens": tokens.input_tokens + tokens.output_tokens,
        "prompt_tokens_details": {"cached_tokens": tokens.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning_tokens},
    }
