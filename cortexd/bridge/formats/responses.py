"""OpenAI's responses. Source: developers.openai.com/api/reference, and what its SDKs read."""

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
    *("model", "input", "instructions", "stream", "stream_options", "temperature", "max_output_tokens", "tools"),
    *("tool_choice", "text", "prompt_cache_key", "store", "metadata", "parallel_tool_calls", "previous_response_id"),
    *("include", "user", "safety_identifier", "prompt_cache_retention", "truncation", "background"),
)
_TEXTS = ("input_text", "output_text", "text", "refusal")
_CALL, _RESULT = "function_call", "function_call_output"
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesFormat(Format):
    def asked(self, body: Body) -> Asked:
        if body.get("background"):
            raise InvalidArgument("background: expected false; nothing is kept for later here")
        missed: list[str] = []
        tools, other_tools = functions(body, lambda tool: tool)
        options = {
            "temperature": body.get("temperature"),
            "max_tokens": body.get("max_output_tokens"),
            "tools": tools or None,
            "tool_choice": _tool_choice(body.get("tool_choice")) if tools else None,
            "response_schema": _schema(body, missed),
        }
        return Asked(
            text(body, "model"),
            list(_messages(body, missed)),
            given(options),
            stream=body.get("stream") is True,
            session=text(body, "prompt_cache_key"),
            lost=tuple(dict.fromkeys((*lost(body, _KNOWN), *other_tools, *missed))),
            goes_on=text(body, "previous_response_id"),
            system=text(body, "instructions"),
        )

    def answer(self, completion: Completion) -> dict[str, Any]:
        output = [_message(completion.request_id, completion.content)] if completion.content else []
        output += [_call(call, "completed") for call in completion.tool_calls]
        return _response(completion.request_id, completion.model, output, completion)

    def telling(self, asked: Asked, request_id: str) -> ResponsesTelling:
        return ResponsesTelling(asked, request_id)

    def error(self, error: CortexError) -> tuple[int, dict[str, Any]]:
        return failure(error)

    def kept_as(self, request_id: str) -> str:
        return _id(request_id)


class ResponsesTelling:
    """Items one after the other, each begun, told and ended; every event has its number."""

    def __init__(self, asked: Asked, request_id: str) -> None:
        self._model, self._request_id = asked.model, request_id
        self._number = 0
        self._done: list[dict[str, Any]] = []
        self._pieces: list[str] = []
        self._open = False

    def begin(self) -> bytes:
        response = _response(self._request_id, self._model, [], None)
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def event(self, event: StreamEvent) -> bytes:
        match event:
            case TextEvent(piece):
                begun = b"" if self._open else self._begin_text()
                self._pieces.append(piece)
                return begun + self._event("response.output_text.delta", **self._place(), delta=piece, logprobs=[])
            case ToolCallEvent(call):
                return self._end_text() + self._tell_call(call)
            case FallbackEvent() if self._open or self._done:
                return self.failed(cut_short())
            case DoneEvent(completion):
                ended = self._end_text()
                response = _response(self._request_id, completion.model, self._done, completion)
                return ended + self._event(f"response.{response['status']}", response=response)
        return b""

    def failed(self, error: CortexError) -> bytes:
        told = failure(error)[1]["error"]
        response = _response(self._request_id, self._model, self._done, None)
        said = {"code": told["code"] or told["type"], "message": told["message"]}
        return self._event("response.failed", response={**response, "status": "failed", "error": said})

    def _begin_text(self) -> bytes:
        self._open, self._pieces = True, []
        item = {**_message(self._request_id, ""), "status": "in_progress", "content": []}
        part = {"type": "output_text", "text": "", "annotations": []}
        return self._event("response.output_item.added", output_index=len(self._done), item=item) + self._event(
            "response.content_part.added", **self._place(), part=part
        )

    def _end_text(self) -> bytes:
        if not self._open:
            return b""
        item = _message(self._request_id, "".join(self._pieces))
        [part] = item["content"]
        told = self._event("response.output_text.done", **self._place(), text=part["text"], logprobs=[])
        told += self._event("response.content_part.done", **self._place(), part=part)
        return told + self._end_item(item)

    def _tell_call(self, call: ToolCall) -> bytes:
        item, place = _call(call, "completed"), len(self._done)
        begun = {**_call(call, "in_progress"), "arguments": ""}
        told = self._event("response.output_item.added", output_index=place, item=begun)
        for kind, key in (("delta", "delta"), ("done", "arguments")):
            name = f"response.function_call_arguments.{kind}"
            more = {} if kind == "delta" else {"name": call.name}
            told += self._event(name, output_index=place, item_id=item["id"], **{key: item["arguments"]}, **more)
        return told + self._end_item(item)

    def _end_item(self, item: dict[str, Any]) -> bytes:
        place, self._open = len(self._done), False
        self._done.append(item)
        return self._event("response.output_item.done", output_index=place, item=item)

    def _place(self) -> dict[str, Any]:
        return {"output_index": len(self._done), "item_id": f"msg_{self._request_id}", "content_index": 0}

    def _event(self, kind: str, **more: Any) -> bytes:
        self._number, number = self._number + 1, self._number
        body = msgspec.json.encode({"type": kind, "sequence_number": number, **more})
        return b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"


def _id(request_id: str) -> str:
    return f"resp_{request_id}"


def _response(
    request_id: str, model: str, output: list[dict[str, Any]], completion: Completion | None
) -> dict[str, Any]:
    """`completion`: None while it is under way."""
    reason = _INCOMPLETE.get(completion.finish_reason) if completion else None
    status = "in_progress" if completion is None else "incomplete" if reason else "completed"
    return {
        "id": _id(request_id),
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": list(output),
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None if completion is None else _usage(completion),
    }


def _message(request_id: str, content: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": content, "annotations": []}
    return {"id": f"msg_{request_id}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def _call(call: ToolCall, status: str) -> dict[str, Any]:
    names = {"id": f"fc_{call.id}", "type": _CALL, "call_id": call.id, "name": call.name}
    return {**names, "arguments": call.arguments or "{}", "status": status}


def _usage(completion: Completion) -> dict[str, Any]:
    tokens = completion.tokens
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }


def _messages(body: Body, missed: list[str]) -> Iterator[dict[str, Any]]:
    given = body.get("input")
    if isinstance(given, str):
        yield {"role": "user", "content": given}
        return
    for index, item in enumerate(rows(given, "input")):
        path, kind = f"input[{index}]", item.get("type") or "message"
        if kind == "message":
            yield {"role": role_of(item), "content": content(item.get("content"), path, _part)}
        elif kind == _CALL:
            call = {"id": item.get("call_id"), "name": item.get("name"), "arguments": item.get("arguments") or "{}"}
            yield {"role": "assistant", "content": "", "tool_calls": [call]}
        elif kind == _RESULT:
            yield {
                "role": "tool",
                "tool_call_id": item.get("call_id"),
                "content": content(item.get("output"), path, _part),
            }
        else:
            missed.append(f"input.{kind}")


def _part(part: Body, path: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind in _TEXTS:
        return {"type": "text", "text": part.get("refusal" if kind == "refusal" else "text")}
    if kind == "input_image":
        return image_of(text(part, "image_url"), f"{path}.image_url")
    raise InvalidArgument(f"{path}: expected parts of type input_text, output_text or input_image, got {kind!r:.40}")


def _tool_choice(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return text(row(value, "tool_choice"), "name") or None


def _schema(body: Body, missed: list[str]) -> Any:
    form = row(row(body.get("text"), "text").get("format"), "text.format")
    if form.get("type") == "json_object":
        missed.append("text.format.json_object")
    return form.get("schema") if form.get("type") == "json_schema" else None
