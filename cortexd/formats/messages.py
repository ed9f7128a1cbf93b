"""Anthropic's messages. Source: docs.claude.com/en/api/messages, and what its SDKs read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from cortexd.domain.messages import ToolCall
from cortexd.errors import BudgetExceeded, CortexError
from cortexd.formats.asked import Asked, Body, Missed, given, kind_of, lost, refuse_kept, row, rows, text
from cortexd.formats.extras import Extras, for_an_hour, limit, of_parts, paid_tools, said, tier
from cortexd.formats.failures import status
from cortexd.formats.form import Answered, Format, Telling

_KNOWN = ("model", "messages", "system", "max_tokens", "stream", "temperature", "tools", "tool_choice", "metadata")
_KEPT = ("thread",)
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_STOPPED = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
# blocks of an assistant's turn that its next words stand without; what a user says is all needed
_NEEDED = ("compaction", "document", "image")
# the program runs them, and searching among tools costs nothing. docs.claude.com/en/docs/about-claude/pricing
_FREE_TOOLS = ("bash_", "text_editor_", "computer_", "browser_toolset_", "memory_", "tool_search_tool_")
_USUAL = {"speed": (None, "standard"), "inference_geo": (None, "global")}
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
    name = "anthropic"

    def asked(self, body: Body) -> Asked:
        refuse_kept(body, _KEPT)
        missed = Missed()
        missed.leave_out(*lost(body, _KNOWN))
        tools = _tools(body, missed)
        options = {
            "max_tokens": limit(body, "max_tokens"),
            "temperature": body.get("temperature"),
            "tools": tools or None,
            "tool_choice": _tool_choice(row(body.get("tool_choice"), "tool_choice"), tools, missed),
        }
        return Asked(
            text(body, "model"),
            [*_system(body, missed), *_messages(body, missed)],
            given(options),
            stream=body.get("stream") is True,
            session=text(row(body.get("metadata"), "metadata"), "user_id"),
            lost=missed.lost,
            native=missed.native,
        )

    def most_output(self, body: Body) -> tuple[int | None, int]:
        return limit(body, "max_tokens"), 1

    def extras(self, body: Body) -> Extras:
        rates, beyond = of_parts(body.get("messages"), "content")
        dearer = [f"{key}.{body[key]!s:.40}" for key, usual in _USUAL.items() if body.get(key) not in usual]
        fees = (*said(body, "mcp_servers", "container", "compaction"), *_compactions(body), *paid_tools(body, _is_free))
        return Extras((*tier(body), *dearer, *said(body, "fallbacks"), *rates), fees, beyond, for_an_hour(body))

    def answer(self, answered: Answered) -> dict[str, Any]:
        said = [{"type": "text", "text": answered.content}] if answered.content else []
        used = [{**_begun(call), "input": _arguments(call)} for call in answered.tool_calls]
        return {
            **_head(answered.request_id, answered.model),
            "content": [*said, *used],
            "stop_reason": _stop_reason(answered),
            "usage": _usage(answered),
        }

    def telling(self, asked: Asked, request_id: str) -> MessagesTelling:
        return MessagesTelling(asked, request_id)

    def error(self, error: CortexError) -> tuple[int, dict[str, Any]]:
        return _failure(error)

    def failed(self, error: CortexError) -> bytes:
        return _sse("error", error=_failure(error)[1]["error"])


class MessagesTelling(Telling):
    """Content blocks one after the other; a tool call's input comes whole."""

    def __init__(self, asked: Asked, request_id: str) -> None:
        self._model, self._request_id = asked.model, request_id
        self._index = 0
        self._open = False

    def begin(self) -> bytes:
        usage = {"input_tokens": 0, "output_tokens": 0}
        message = {**_head(self._request_id, self._model), "content": [], "stop_reason": None, "usage": usage}
        return _sse("message_start", message=message)

    def text(self, piece: str) -> bytes:
        begun = b"" if self._open else self._start({"type": "text", "text": ""})
        return begun + self._delta({"type": "text_delta", "text": piece})

    def tool_call(self, call: ToolCall) -> bytes:
        begun = self._stop() + self._start({**_begun(call), "input": {}})
        told = self._delta({"type": "input_json_delta", "partial_json": call.arguments or "{}"})
        return begun + told + self._stop()

    def done(self, answered: Answered) -> bytes:
        delta = {"stop_reason": _stop_reason(answered), "stop_sequence": None}
        told = _sse("message_delta", delta=delta, usage=_usage(answered))
        return self._stop() + told + _sse("message_stop")

    def failed(self, error: CortexError) -> bytes:
        return _sse("error", error=_failure(error)[1]["error"])

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


def _failure(error: CortexError) -> tuple[int, dict[str, Any]]:
    code = status(error)
    if isinstance(error, BudgetExceeded):
        code, kind = _OUT_OF_MONEY
    else:
        kind = _WORDS.get(code, "api_error")
    return code, {"type": "error", "error": {"type": kind, "message": error.message}}


def _sse(kind: str, **more: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode({"type": kind, **more}) + b"\n\n"


def _head(request_id: str, model: str) -> dict[str, Any]:
    known = {"id": f"msg_{request_id}", "type": "message", "role": "assistant", "model": model}
    return {**known, "stop_sequence": None}


def _system(body: Body, missed: Missed) -> Iterator[dict[str, Any]]:
    system = body.get("system")
    if isinstance(system, str):
        yield {"role": "system", "content": system}
    elif system is not None:
        parts = rows(system, "system")
        _unmark(parts, missed)
        yield {"role": "system", "content": [{"type": "text", "text": part.get("text")} for part in parts]}


def _messages(body: Body, missed: Missed) -> Iterator[dict[str, Any]]:
    for index, message in enumerate(rows(body.get("messages"), "messages")):
        path, role, content = f"messages[{index}]", message.get("role"), message.get("content")
        if not isinstance(content, list):
            yield {"role": role, "content": content}
            continue
        blocks = rows(content, f"{path}.content")
        _unmark(blocks, missed)
        yield from _results(blocks, path, missed)
        used = [_call(block) for block in blocks if block.get("type") == "tool_use"]
        others = [block for block in blocks if block.get("type") not in ("tool_result", "tool_use")]
        said = [part for block in others if (part := _said(block, role, path, missed))]
        if said or used:
            yield {"role": role, "content": said or "", **({"tool_calls": used} if used else {})}


def _unmark(blocks: Any, missed: Missed) -> None:
    if any(block.get("cache_control") for block in blocks):
        missed.leave_out("cache_control")


def _said(block: Body, role: object, path: str, missed: Missed) -> dict[str, Any] | None:
    """None for what an assistant's turn can do without: its thoughts, and what the vendor's tools did."""
    if role == "assistant" and block.get("type") not in ("text", *_NEEDED):
        missed.leave_out(f"content.{kind_of(block)}")
        return None
    return _part(block, path, missed)


def _results(blocks: Any, path: str, missed: Missed) -> Iterator[dict[str, Any]]:
    """Results of tools are messages of their own on the bus, and texts."""
    for block in blocks:
        if block.get("type") != "tool_result":
            continue
        content = block.get("content")
        if isinstance(content, list):
            parts = [_part(part, path, missed) for part in rows(content, path)]
            if any(part["type"] != "text" for part in parts):
                missed.leave_out("tool_result.image")
            content = [part for part in parts if part["type"] == "text"] or ""
        yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": content or ""}


def _part(block: Body, path: str, missed: Missed) -> dict[str, Any]:
    if block.get("type") == "text":
        return {"type": "text", "text": block.get("text")}
    source = row(block.get("source"), f"{path}.source") if block.get("type") == "image" else {}
    if source.get("type") == "base64":
        return {"type": "image", "media_type": source.get("media_type"), "data": source.get("data")}
    return missed.need(f"content.{kind_of(block)}" if not source else f"content.image.{kind_of(source)}")


def _call(block: Body) -> dict[str, Any]:
    return {"id": block.get("id"), "name": block.get("name"), "arguments": json.dumps(block.get("input") or {})}


def _tools(body: Body, missed: Missed) -> list[dict[str, Any]]:
    tools = rows(body.get("tools"), "tools")
    _unmark(tools, missed)
    own = [tool for tool in tools if tool.get("type") in (None, "custom")]
    missed.leave_out(*(f"tools.{kind_of(tool)}" for tool in tools if tool.get("type") not in (None, "custom")))
    return [
        {
            "name": tool.get("name"),
            "description": tool.get("description") or "",
            "parameters": tool.get("input_schema") or {},
        }
        for tool in own
    ]


def _compactions(body: Body) -> tuple[str, ...]:
    """The vendor has its model sum up first, which the usage has in `iterations`. Source: anthropic's SDK
    (types/beta/beta_compaction_iteration_usage.py)."""
    managed = body.get("context_management")
    edits = managed.get("edits") if isinstance(managed, dict) else None
    kinds = [kind_of(edit) for edit in edits if isinstance(edit, dict)] if isinstance(edits, list) else []
    return tuple(dict.fromkeys(f"context_management.{kind}" for kind in kinds if kind.startswith("compact")))


def _is_free(tool: Body) -> bool:
    return tool.get("type") in (None, "custom") or kind_of(tool).startswith(_FREE_TOOLS)


def _tool_choice(choice: Body, tools: list[dict[str, Any]], missed: Missed) -> str | None:
    if not choice:
        return None
    name = choice.get("name") if choice.get("type") == "tool" else None
    if isinstance(name, str) and any(tool["name"] == name for tool in tools):
        return name
    word = _CHOICES.get(kind_of(choice)) if tools else None
    if word is None:
        missed.leave_out("tool_choice")
    return word


def _begun(call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name}


def _arguments(call: ToolCall) -> Any:
    try:
        return json.loads(call.arguments or "{}")
    except ValueError:
        return {"arguments": call.arguments}  # what the model said, though it is no JSON


def _stop_reason(answered: Answered) -> str:
    if answered.tool_calls:
        return "tool_use"
    return _STOPPED.get(answered.finish_reason, "end_turn")


def _usage(answered: Answered) -> dict[str, Any]:
    """Anthropic counts what came from the cache, or went there, beside the input, and not in it."""
    tokens = answered.tokens
    return {
        "input_tokens": max(0, tokens.input_tokens - tokens.cached_tokens - tokens.cache_write_tokens),
        "cache_read_input_tokens": tokens.cached_tokens,
        "cache_creation_input_tokens": tokens.cache_write_tokens,
        "output_tokens": tokens.output_tokens,
    }
