"""OpenAI's responses. Source: developers.openai.com/api/reference, and what its SDKs read."""

from __future__ import annotations

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
    refuse_kept,
    row,
    rows,
    text,
)
from cortexd.formats.extras import ROUTED, SEARCHES, Extras, limit, of_parts, paid_tools, said, tier
from cortexd.formats.form import Answered, Format, Telling
from cortexd.formats.openai import chosen, failure, functions, role_of

_KNOWN = (
    *("model", "input", "instructions", "stream", "stream_options", "temperature", "max_output_tokens", "tools"),
    *("tool_choice", "text", "prompt_cache_key", "store", "metadata", "parallel_tool_calls", "include", "user"),
    *("safety_identifier", "prompt_cache_retention", "truncation", "background"),
)
_KEPT = ("previous_response_id", "conversation", "prompt")
_TEXTS = ("input_text", "output_text", "text", "refusal")
_CALL, _RESULT = "function_call", "function_call_output"
_CALLS, _RESULTS = (_CALL, "custom_tool_call"), (_RESULT, "custom_tool_call_output")
_NEEDED = ("compaction", "compaction_trigger", "item_reference")  # the rest of the conversation stands without others
# the program runs them. developers.openai.com/api/docs/pricing
_FREE_TOOLS = ("function", "custom", "namespace", "local_shell", "apply_patch", "computer", "computer_use_preview")
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesFormat(Format):
    name = "responses"

    def asked(self, body: Body) -> Asked:
        refuse_kept(body, _KEPT)
        if body.get("background"):
            raise InvalidArgument("background: expected false; nothing is kept for later here")
        missed = Missed()
        missed.leave_out(*lost(body, _KNOWN))
        tools = functions(body, lambda tool: tool, missed)
        choice = body.get("tool_choice")
        named = row(choice, "tool_choice").get("name") if not isinstance(choice, str) else None
        options = {
            "temperature": body.get("temperature"),
            "max_tokens": limit(body, "max_output_tokens"),
            "tools": tools or None,
            "tool_choice": chosen(choice, named, tools, missed),
            "response_schema": _schema(body, missed),
        }
        return Asked(
            text(body, "model"),
            [*_instructions(body), *_messages(body, missed)],
            given(options),
            stream=body.get("stream") is True,
            session=text(body, "prompt_cache_key"),
            lost=missed.lost,
            native=missed.native,
        )

    def most_output(self, body: Body) -> tuple[int | None, int]:
        return limit(body, "max_output_tokens"), 1

    def extras(self, body: Body) -> Extras:
        rates, beyond = of_parts(body.get("input"), "content")
        outputs = of_parts(body.get("input"), "output")[1]
        items = body.get("input")
        named = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        kept = ("input.item_reference",) if any(item.get("type") == "item_reference" for item in named) else ()
        return Extras(
            (*tier(body), *said(body, *ROUTED), *rates),
            (*said(body, *SEARCHES), *paid_tools(body, _is_free)),
            tuple(dict.fromkeys((*beyond, *outputs, *kept))),
        )

    def answer(self, answered: Answered) -> dict[str, Any]:
        output = [_message(answered.request_id, answered.content)] if answered.content else []
        output += [_call(call, "completed") for call in answered.tool_calls]
        return _response(answered.request_id, answered.model, output, answered)

    def telling(self, asked: Asked, request_id: str) -> ResponsesTelling:
        return ResponsesTelling(asked, request_id)

    def error(self, error: CortexError) -> tuple[int, dict[str, Any]]:
        return failure(error)

    def failed(self, error: CortexError) -> bytes:
        return ResponsesTelling(Asked("", []), "").failed(error)


class ResponsesTelling(Telling):
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

    def text(self, piece: str) -> bytes:
        begun = b"" if self._open else self._begin_text()
        self._pieces.append(piece)
        return begun + self._event("response.output_text.delta", **self._place(), delta=piece, logprobs=[])

    def tool_call(self, call: ToolCall) -> bytes:
        return self._end_text() + self._tell_call(call)

    def done(self, answered: Answered) -> bytes:
        ended = self._end_text()
        response = _response(self._request_id, answered.model, self._done, answered)
        return ended + self._event(f"response.{response['status']}", response=response)

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


def _response(request_id: str, model: str, output: list[dict[str, Any]], answered: Answered | None) -> dict[str, Any]:
    """`answered`: None while it is under way."""
    reason = _INCOMPLETE.get(answered.finish_reason) if answered else None
    status = "in_progress" if answered is None else "incomplete" if reason else "completed"
    return {
        "id": _id(request_id),
        "object": "response",
        "created_at": answered.created if answered else int(time.time()),
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
        "usage": None if answered is None else _usage(answered),
    }


def _message(request_id: str, content: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": content, "annotations": []}
    return {"id": f"msg_{request_id}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def _call(call: ToolCall, status: str) -> dict[str, Any]:
    names = {"id": f"fc_{call.id}", "type": _CALL, "call_id": call.id, "name": call.name}
    return {**names, "arguments": call.arguments or "{}", "status": status}


def _usage(answered: Answered) -> dict[str, Any]:
    tokens = answered.tokens
    return {
        "input_tokens": tokens.input_tokens,
        "input_tokens_details": {"cached_tokens": tokens.cached_tokens},
        "output_tokens": tokens.output_tokens,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning_tokens},
        "total_tokens": tokens.input_tokens + tokens.output_tokens,
    }


def _is_free(tool: Body) -> bool:
    """A shell is the program's own, or runs in a container of the vendor's."""
    if tool.get("type") == "shell":
        return row(tool.get("environment"), "tools.environment").get("type") == "local"
    return tool.get("type") in _FREE_TOOLS


def _instructions(body: Body) -> list[dict[str, Any]]:
    said = text(body, "instructions")
    return [{"role": "system", "content": said}] if said else []


def _messages(body: Body, missed: Missed) -> Iterator[dict[str, Any]]:
    given = body.get("input")
    if isinstance(given, str):
        yield {"role": "user", "content": given}
        return
    for index, item in enumerate(rows(given, "input")):
        yield from _turn(item, f"input[{index}]", missed)


def _turn(item: Body, path: str, missed: Missed) -> Iterator[dict[str, Any]]:
    kind = item.get("type") or "message"
    if kind == "message":
        yield {"role": role_of(item), "content": _content(item.get("content"), path, missed)}
    elif kind in _CALLS:
        yield {"role": "assistant", "content": "", "tool_calls": [_called(item, missed)]}
    elif kind in _RESULTS:
        said = _content(item.get("output"), path, missed)
        yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": said}
    elif kind in _NEEDED:
        yield {"role": "user", "content": [missed.need(f"input.{kind}")]}
    else:
        missed.leave_out(f"input.{kind!s:.40}")


def _called(item: Body, missed: Missed) -> dict[str, Any]:
    arguments = item.get("arguments") or "{}"
    if item.get("type") != _CALL:
        missed.leave_out("input.custom_tool_call")
        arguments = msgspec.json.encode(custom_arguments(item.get("input"))).decode()
    return {"id": item.get("call_id"), "name": item.get("name"), "arguments": arguments}


def _content(value: object, path: str, missed: Missed) -> Any:
    return content(value, path, lambda part, at: _part(part, at, missed))


def _part(part: Body, path: str, missed: Missed) -> dict[str, Any]:
    kind = part.get("type")
    if kind in _TEXTS:
        return {"type": "text", "text": part.get("refusal" if kind == "refusal" else "text")}
    if kind == "input_image" and part.get("image_url"):
        return image_of(text(part, "image_url"), f"{path}.image_url", missed)
    return missed.need(f"content.{kind_of(part)}")


def _schema(body: Body, missed: Missed) -> Any:
    form = row(row(body.get("text"), "text").get("format"), "text.format")
    if form.get("type") == "json_object":
        missed.leave_out("text.format.json_object")
    return form.get("schema") if form.get("type") == "json_schema" else None
