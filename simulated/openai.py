"""OpenAI chat completions: headers, error objects, answers and stream chunks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from simulated import kimi_rules, openai_rules
from simulated.behaviour import Behaviour, StreamUsage
from simulated.billing import Tokens
from simulated.checks import Path, Refused
from simulated.prompt import Answer, Finish, Prompt, Tool, count_tokens
from simulated.wire import DONE, Events, JsonErrors, encode, encode_with_raw, overlay, pieces, sse

# status -> (type, code, message)
_ERRORS = {
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("permission_error", None, "You do not have access to this resource."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
    503: ("service_unavailable_error", None, "The engine is currently overloaded, please try again later."),
    529: ("engine_overloaded_error", None, "The engine is currently overloaded, please try again later."),
}
# The choices of a usage chunk: none as OpenAI's, or one as LiteLLM's.
_LAST: dict[StreamUsage, list[dict[str, Any]]] = {
    StreamUsage.OWN_CHUNK: [],
    StreamUsage.EMPTY_CHOICE: [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}],
}
_FINISH_REASONS = {Finish.END: "stop", Finish.LENGTH: "length", Finish.STOP: "stop", Finish.TOOLS: "tool_calls"}


class OpenAIWire(JsonErrors):
    """See `Wire`."""

    request_id_header = "x-request-id"

    def check_headers(self, headers: Mapping[str, str], accepts: Callable[[str], bool]) -> None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Refused((), "You didn't provide an API key.", status=401)
        if not accepts(key):
            raise Refused((), "Incorrect API key provided.", status=401)

    def prompt(self, body: Any, _headers: Mapping[str, str], /) -> Prompt:
        openai_rules.check(body)
        if body["model"].startswith(kimi_rules.PREFIX):
            kimi_rules.check(body)
        stop = body.get("stop") or ()
        limits = (body.get("max_completion_tokens"), body.get("max_tokens"))
        return Prompt(
            model=body["model"],
            last_text=_last_text(body["messages"]),
            tokens=count_tokens(body["messages"], body.get("tools")),
            max_tokens=next((limit for limit in limits if limit is not None), None),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            tools=_tools(body),
            forced_tool=_forced_tool(body.get("tool_choice")),
            json_schema=_json_schema(body.get("response_format")),
            stream=bool(body.get("stream")),
            include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        )

    def unknown_model(self, model: str) -> Refused | None:
        return Refused(("model",), f"The model '{model}' does not exist or you do not have access to it.", status=404)

    def refused_field(self, name: str) -> Refused:
        return Refused((name,), f"Unsupported parameter: '{name}' is not supported with this model.")

    def too_long(self, prompt: Prompt, limit: int, /) -> Refused | None:
        resulted = f"However, your messages resulted in {prompt.tokens}."
        problem = f"This model's maximum context length is {limit} tokens. {resulted}"
        return Refused(("messages",), problem, kind="context_length_exceeded")

    def body(self, answer: Answer, behaviour: Behaviour) -> bytes:
        usage = overlay(_usage(answer.tokens), behaviour)
        reason = behaviour.stop_reason or _FINISH_REASONS[answer.finish]
        choice = {"index": 0, "message": _message(answer), "logprobs": None, "finish_reason": reason}
        value = {**_envelope(answer, "chat.completion"), "choices": [choice]}
        if usage is not None:
            value["usage"] = usage
        return encode_with_raw(value, ["choices", 0, "message"], behaviour.content_json)

    def events(self, answer: Answer, prompt: Prompt, behaviour: Behaviour) -> Events:
        return _Chunks(answer, prompt, behaviour).events()

    def refusal(self, refused: Refused, _request_id: str) -> bytes:
        path = _path(refused.path)
        kind, code, _ = _ERRORS.get(refused.status, ("invalid_request_error", None, ""))
        if refused.kind == "unknown":
            message = f"Unrecognized request argument supplied: {path}"
        elif refused.kind == "missing":
            message, code = f"Missing required parameter: '{path}'.", "missing_required_parameter"
        elif refused.kind == "context_length_exceeded" or refused.status != 400 or not path:
            message = refused.problem
        else:
            message = f"Invalid value for '{path}': {refused.problem}"
        if refused.kind == "context_length_exceeded":
            code = refused.kind
        return encode({"error": {"message": message, "type": kind, "param": path or None, "code": code}})

    def error(self, status: int, behaviour: Behaviour, _request_id: str) -> bytes:
        kind, code, words = _ERRORS.get(status, ("server_error", None, "The server had an error."))
        message = words if behaviour.error_message is None else behaviour.error_message
        return encode(
            {"error": {"message": message, "type": behaviour.error_type or kind, "param": None, "code": code}}
        )

    def stream_error(self, behaviour: Behaviour, request_id: str) -> bytes:
        status = 500 if behaviour.status == 200 else behaviour.status
        return b"data: " + self.error(status, behaviour, request_id) + b"\n\n"


def _path(path: Path) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")


def _last_text(messages: list[dict[str, Any]]) -> str:
    """The text of the last user or tool message."""
    for message in reversed(messages):
        content = message.get("content")
        if message["role"] in ("user", "tool") and content:
            return content if isinstance(content, str) else str(content[-1].get("text", ""))
    return ""


def _tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    functions = [tool["function"] for tool in body.get("tools", ()) if tool["type"] == "function"]
    return tuple(Tool(function["name"], function.get("parameters")) for function in functions)


def _forced_tool(choice: Any) -> str | None:
    if isinstance(choice, dict):
        return str(choice.get("function", {}).get("name", ""))
    return "" if choice == "required" else None


def _json_schema(response_format: dict[str, Any] | None) -> Any:
    kind = (response_format or {"type": "text"})["type"]
    if kind == "json_schema":
        return (response_format or {})["json_schema"].get("schema", {})
    return {"type": "object", "required": ["answer"]} if kind == "json_object" else None


def _envelope(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-sim-{answer.serial:06d}",
        "object": kind,
        "created": int(time.time()),
        "model": answer.model,
        "system_fingerprint": "fp_simulated",
    }


def _message(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if not answer.calls:
        message["content"] = answer.text
    if answer.thinking is not None:
        message["reasoning_content"] = answer.thinking
    if answer.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.calls
        ]
    return message


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.prompt + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }


class _Chunks:
    """The chunks of one stream, with usage where the behaviour puts it."""

    def __init__(self, answer: Answer, prompt: Prompt, behaviour: Behaviour) -> None:
        self._answer = answer
        self._behaviour = behaviour
        self._place = behaviour.stream_usage if prompt.include_usage else StreamUsage.NEVER
        self._envelope = _envelope(answer, "chat.completion.chunk")

    def events(self) -> Events:
        deltas = self._deltas()
        running = self._place is StreamUsage.EVERY_CHUNK
        middle = [
            self._chunk(delta, usage=self._usage(n, len(deltas)) if running else None)
            for n, delta in enumerate(deltas, start=1)
        ]
        return Events([self._chunk({"role": "assistant", "content": ""})], middle, self._tail())

    def _deltas(self) -> list[dict[str, Any]]:
        answer = self._answer
        deltas: list[dict[str, Any]] = []
        if answer.thinking is not None:
            deltas += [{"reasoning_content": piece} for piece in pieces(answer.thinking, None)]
        if answer.text or not answer.calls:
            deltas += [{"content": piece} for piece in pieces(answer.text, self._behaviour.chunks)]
        for index, call in enumerate(answer.calls):
            start = {"index": index, "id": call.id, "type": "function"}
            deltas.append({"tool_calls": [{**start, "function": {"name": call.name, "arguments": ""}}]})
            parts = pieces(call.arguments, None)
            deltas += [{"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in parts]
        return deltas

    def _tail(self) -> list[bytes]:
        reason = self._behaviour.stop_reason or _FINISH_REASONS[self._answer.finish]
        usage = self._usage()
        with_usage = self._place in (StreamUsage.LAST_CHOICE, StreamUsage.EVERY_CHUNK)
        inside = usage if self._place is StreamUsage.INSIDE_CHOICE else None
        tail = [self._chunk({}, reason, usage if with_usage else None, inside)]
        if self._place in _LAST and usage is not None:
            tail.append(sse({**self._envelope, "choices": _LAST[self._place], "usage": usage}))
        return [*tail, DONE]

    def _usage(self, sent: int = 1, of: int = 1) -> dict[str, Any] | None:
        return overlay(_usage(self._answer.tokens.part(sent, of)), self._behaviour)

    def _chunk(
        self,
        delta: dict[str, Any],
        reason: str | None = None,
        usage: dict[str, Any] | None = None,
        inside: dict[str, Any] | None = None,
    ) -> bytes:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        if inside is not None:
            choice["usage"] = inside
        value = {**self._envelope, "choices": [choice]}
        if usage is not None or self._place is StreamUsage.OWN_CHUNK:
            value["usage"] = usage
        return sse(value)
