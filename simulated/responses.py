"""OpenAI's Responses API: answers and events. Keys and errors are those of its chat completions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from simulated import responses_rules
from simulated.behaviour import Behaviour
from simulated.billing import Tokens
from simulated.checks import Refused
from simulated.openai import OpenAIWire
from simulated.prompt import Answer, Call, Finish, Prompt, Tool, count_tokens
from simulated.wire import Events, encode, encode_with_raw, overlay, pieces, sse

Json = dict[str, Any]
COMPLETED, INCOMPLETE, IN_PROGRESS = "completed", "incomplete", "in_progress"
_REASONS = {Finish.LENGTH: "max_output_tokens"}
_OBFUSCATION = "0123456789"  # of a random length, as the API sends it unless it is asked not to


class ResponsesWire(OpenAIWire):
    """See `Wire`."""

    def prompt(self, body: Any, _headers: Mapping[str, str], /) -> Prompt:
        responses_rules.check(body)
        said = body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
        return Prompt(
            model=body["model"],
            last_text=_last_text(said),
            tokens=count_tokens([body.get("instructions"), said], body.get("tools")),
            max_tokens=body.get("max_output_tokens"),
            tools=tuple(_tools(body)),
            forced_tool=_forced_tool(body.get("tool_choice")),
            json_schema=_json_schema(body.get("text", {}).get("format")),
            stream=bool(body.get("stream")),
            include_usage=True,
        )

    def unknown_model(self, model: str) -> Refused | None:
        return Refused(("model",), f"The requested model '{model}' does not exist.", kind="model_not_found")

    def too_long(self, _prompt: Prompt, _limit: int, /) -> Refused | None:
        words = "Your input exceeds the context window of this model. Please adjust your input and try again."
        return Refused(("input",), words, kind="context_length_exceeded")

    def body(self, answer: Answer, behaviour: Behaviour) -> bytes:
        return encode_with_raw(_ended(answer, behaviour), ["output"], behaviour.content_json)

    def events(self, answer: Answer, _prompt: Prompt, behaviour: Behaviour) -> Events:
        return _Stream(answer, behaviour).events()

    def refusal(self, refused: Refused, request_id: str) -> bytes:
        path = ".".join(map(str, refused.path))
        words = {
            "unknown": ("unknown_parameter", f"Unknown parameter: '{path}'."),
            "integer_below_min_value": (refused.kind, f"Invalid '{path}': {refused.problem}"),
            "model_not_found": (refused.kind, refused.problem),
            "said": (None, refused.problem),
        }
        if refused.kind not in words:
            return super().refusal(refused, request_id)
        code, message = words[refused.kind]
        error = {"message": message, "type": "invalid_request_error", "param": path, "code": code}
        return encode({"error": error})

    def stream_error(self, behaviour: Behaviour, _request_id: str) -> bytes:
        message = behaviour.error_message
        event = {
            "type": "error",
            "code": behaviour.error_type or "server_error",
            "message": "The server had an error." if message is None else message,
            "param": None,
            "sequence_number": 0,
        }
        return sse(event, "error")


def _last_text(items: list[Json]) -> str:
    """The text of the last message of the user's, or of the last tool's output."""
    for item in reversed(items):
        said = item.get("output") if item.get("type") == "function_call_output" else item.get("content")
        if said and item.get("role") in ("user", None):
            return said if isinstance(said, str) else str(said[-1].get("text", ""))
    return ""


def _tools(body: Json) -> Iterator[Tool]:
    return (Tool(tool["name"], tool["parameters"]) for tool in body.get("tools", ()) if tool["type"] == "function")


def _forced_tool(choice: Any) -> str | None:
    if isinstance(choice, dict):
        return str(choice.get("name", ""))
    return "" if choice == "required" else None


def _json_schema(form: Json | None) -> Any:
    kind = (form or {"type": "text"})["type"]
    if kind == "json_schema":
        return (form or {})["schema"]
    return {"type": "object", "required": ["answer"]} if kind == "json_object" else None


def _usage(tokens: Tokens) -> Json:
    return {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.prompt + tokens.output,
    }


def _response(answer: Answer, status: str, output: list[Json]) -> Json:
    return {
        "id": f"resp_sim_{answer.serial:06d}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }


def _ended(answer: Answer, behaviour: Behaviour) -> Json:
    """The whole response. A behaviour's own reason is one for an answer that is incomplete."""
    reason = behaviour.stop_reason or _REASONS.get(answer.finish)
    response = _response(answer, INCOMPLETE if reason else COMPLETED, _items(answer))
    response["incomplete_details"] = {"reason": reason} if reason else None
    response["usage"] = overlay(_usage(answer.tokens), behaviour)
    return response


def _items(answer: Answer) -> list[Json]:
    items = [] if answer.thinking is None else [_reasoning(answer, [_summary(answer.thinking)])]
    if answer.text or not answer.calls:
        items.append(_message(answer, COMPLETED, [_text(answer.text)]))
    return [*items, *(_call(call, number, COMPLETED, call.arguments) for number, call in enumerate(answer.calls))]


def _reasoning(answer: Answer, summary: list[Json]) -> Json:
    return {"id": f"rs_sim_{answer.serial:06d}", "type": "reasoning", "summary": summary}


def _summary(words: str) -> Json:
    return {"type": "summary_text", "text": words}


def _message(answer: Answer, status: str, content: list[Json]) -> Json:
    id_ = f"msg_sim_{answer.serial:06d}"
    return {"id": id_, "type": "message", "status": status, "role": "assistant", "content": content}


def _text(words: str) -> Json:
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": []}


def _call(call: Call, number: int, status: str, arguments: str) -> Json:
    return {
        "id": f"fc_sim_{number}_{call.id}",
        "type": "function_call",
        "status": status,
        "call_id": call.id,
        "name": call.name,
        "arguments": arguments,
    }


class _Stream:
    """The events of one response, numbered."""

    def __init__(self, answer: Answer, behaviour: Behaviour) -> None:
        self._answer = answer
        self._behaviour = behaviour
        self._number = 0

    def events(self) -> Events:
        begun = {"response": _response(self._answer, IN_PROGRESS, [])}
        head = [self._event("created", begun), self._event("in_progress", begun)]
        middle = [event for place, parts in enumerate(self._parts()) for event in self._placed(place, parts)]
        response = _ended(self._answer, self._behaviour)
        return Events(head, middle, [self._event(response["status"], {"response": response})])

    def _parts(self) -> Iterator[list[tuple[str, Json]]]:
        """What is said of each item, in order."""
        answer = self._answer
        if answer.thinking is not None:
            yield list(self._thoughts(answer.thinking))
        if answer.text or not answer.calls:
            yield list(self._words(answer.text))
        for number, call in enumerate(answer.calls):
            yield list(self._arguments(call, number))

    def _placed(self, place: int, parts: list[tuple[str, Json]]) -> Iterator[bytes]:
        return (self._event(name, {"output_index": place, **fields}) for name, fields in parts)

    def _thoughts(self, words: str) -> Iterator[tuple[str, Json]]:
        item = _reasoning(self._answer, [])
        where = {"item_id": item["id"], "summary_index": 0}
        yield "output_item.added", {"item": item}
        yield "reasoning_summary_part.added", {**where, "part": _summary("")}
        for piece in pieces(words, None):
            yield "reasoning_summary_text.delta", {**where, "delta": piece, "obfuscation": _OBFUSCATION}
        yield "reasoning_summary_text.done", {**where, "text": words}
        yield "reasoning_summary_part.done", {**where, "part": _summary(words)}
        yield "output_item.done", {"item": _reasoning(self._answer, [_summary(words)])}

    def _words(self, words: str) -> Iterator[tuple[str, Json]]:
        item = _message(self._answer, IN_PROGRESS, [])
        where = {"item_id": item["id"], "content_index": 0}
        yield "output_item.added", {"item": item}
        yield "content_part.added", {**where, "part": _text("")}
        for piece in pieces(words, self._behaviour.chunks):
            yield "output_text.delta", {**where, "delta": piece, "logprobs": [], "obfuscation": _OBFUSCATION}
        yield "output_text.done", {**where, "text": words, "logprobs": []}
        yield "content_part.done", {**where, "part": _text(words)}
        yield "output_item.done", {"item": _message(self._answer, COMPLETED, [_text(words)])}

    def _arguments(self, call: Call, number: int) -> Iterator[tuple[str, Json]]:
        item = _call(call, number, IN_PROGRESS, "")
        where = {"item_id": item["id"]}
        yield "output_item.added", {"item": item}
        for piece in pieces(call.arguments, None):
            yield "function_call_arguments.delta", {**where, "delta": piece, "obfuscation": _OBFUSCATION}
        yield "function_call_arguments.done", {**where, "arguments": call.arguments}
        yield "output_item.done", {"item": _call(call, number, COMPLETED, call.arguments)}

    def _event(self, name: str, fields: Json) -> bytes:
        kind = f"response.{name}"
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return sse(event, kind)
