"""Anthropic Messages: headers, error objects, answers and stream events."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from simulated import anthropic_rules
from simulated.behaviour import Behaviour
from simulated.checks import Refused
from simulated.prompt import Answer, Finish, Prompt, Tool, count_tokens
from simulated.wire import Events, JsonErrors, encode, encode_with_raw, overlay, pieces, sse

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_ERROR_WORDS = {
    401: "invalid x-api-key",
    403: "Your API key does not have permission to use the specified resource.",
    404: "Not found",
    429: "This request would exceed your organization's rate limit.",
    529: "Overloaded",
}
_STOP_REASONS = {
    Finish.END: "end_turn",
    Finish.LENGTH: "max_tokens",
    Finish.STOP: "stop_sequence",
    Finish.TOOLS: "tool_use",
}


class AnthropicWire(JsonErrors):
    """See `Wire`."""

    request_id_header = "request-id"

    def check_headers(self, headers: Mapping[str, str], accepts: Callable[[str], bool]) -> None:
        # The SDK sends its key as a bearer token since 2.x; both headers are good.
        scheme, _, token = headers.get("authorization", "").partition(" ")
        key = headers.get("x-api-key") or (token if scheme.lower() == "bearer" else "")
        if not key:
            raise Refused((), "x-api-key header is required", status=401)
        if not accepts(key):
            raise Refused((), "invalid x-api-key", status=401)
        version = headers.get("anthropic-version")
        if version is None:
            raise Refused(("anthropic-version",), "header is required")
        if version not in (anthropic_rules.VERSION, anthropic_rules.EARLIER):
            raise Refused(("anthropic-version",), f'"{version}" is not a valid version')

    def prompt(self, body: Any, headers: Mapping[str, str], /) -> Prompt:
        betas = [name.strip() for name in headers.get("anthropic-beta", "").split(",")]
        anthropic_rules.check(body, headers["anthropic-version"], betas)
        output_format = (body.get("output_config") or {}).get("format") or {}
        return Prompt(
            model=body["model"],
            last_text=_last_text(body["messages"]),
            tokens=count_tokens([body.get("system"), body["messages"]], body.get("tools")),
            max_tokens=body["max_tokens"],
            stop=tuple(body.get("stop_sequences", ())),
            tools=tuple(Tool(tool["name"], tool.get("input_schema")) for tool in body.get("tools", ())),
            forced_tool=_forced_tool(body.get("tool_choice", {})),
            json_schema=output_format.get("schema"),
            stream=body.get("stream", False),
            include_usage=True,
        )

    def unknown_model(self, model: str) -> Refused | None:
        return Refused((), f"model: {model}", status=404)

    def refused_field(self, name: str) -> Refused:
        return Refused((), f"`{name}` is not supported with this model.")

    def too_long(self, prompt: Prompt, limit: int) -> Refused | None:
        return Refused((), f"prompt is too long: {prompt.tokens} tokens > {limit} maximum")

    def body(self, answer: Answer, behaviour: Behaviour) -> bytes:
        message = _message(answer, behaviour, _usage(answer, answer.tokens.output))
        message["content"] = _content(answer)
        message["stop_reason"], message["stop_sequence"] = _stop_reason(answer, behaviour), answer.stop
        return encode_with_raw(message, ["content"], behaviour.content_json)

    def events(self, answer: Answer, _prompt: Prompt, behaviour: Behaviour) -> Events:
        start = _message(answer, behaviour, _usage(answer, 1))
        head = [sse({"type": "message_start", "message": start}, "message_start"), sse({"type": "ping"}, "ping")]
        middle: list[bytes] = []
        for index, (block, deltas) in enumerate(_streamed(answer, behaviour)):
            middle += _block_events(index, block, deltas)
        usage = overlay(_usage(answer, answer.tokens.output), behaviour)
        end = {"stop_reason": _stop_reason(answer, behaviour), "stop_sequence": answer.stop}
        last = {"type": "message_delta", "delta": end} | ({} if usage is None else {"usage": usage})
        return Events(head, middle, [sse(last, "message_delta"), sse({"type": "message_stop"}, "message_stop")])

    def refusal(self, refused: Refused, request_id: str) -> bytes:
        path = ".".join(str(step) for step in refused.path)
        message = f"{path}: {refused.problem}" if path else refused.problem
        return encode(_error_object(refused.status, message, None, request_id))

    def error(self, status: int, behaviour: Behaviour, request_id: str) -> bytes:
        message = behaviour.error_message
        message = _ERROR_WORDS.get(status, "Internal server error") if message is None else message
        return encode(_error_object(status, message, behaviour.error_type, request_id))

    def stream_error(self, behaviour: Behaviour, request_id: str) -> bytes:
        status = 529 if behaviour.status == 200 else behaviour.status
        return b"event: error\ndata: " + self.error(status, behaviour, request_id) + b"\n\n"


def _error_object(status: int, message: str, kind: str | None, request_id: str) -> dict[str, Any]:
    kind = kind or _ERROR_TYPES.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def _last_text(messages: list[dict[str, Any]]) -> str:
    """The last text of the last user message, or what its last tool result says."""
    content = messages[-1]["content"]
    while not isinstance(content, str):
        block = content[-1] if content else {"text": ""}
        content = block.get("text", block.get("content", ""))
    return content


def _forced_tool(choice: dict[str, Any]) -> str | None:
    return {"any": "", "tool": choice.get("name")}.get(choice.get("type", "auto"))


def _stop_reason(answer: Answer, behaviour: Behaviour) -> str:
    return behaviour.stop_reason or _STOP_REASONS[answer.finish]


def _message(answer: Answer, behaviour: Behaviour, usage: dict[str, Any]) -> dict[str, Any]:
    said = overlay(usage, behaviour)
    return {
        "id": f"msg_sim_{answer.serial:06d}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    } | ({} if said is None else {"usage": said})


def _usage(answer: Answer, output: int) -> dict[str, Any]:
    tokens = answer.tokens
    usage: dict[str, Any] = {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write + tokens.hour_write,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write,
            "ephemeral_1h_input_tokens": tokens.hour_write,
        },
        "output_tokens": output,
        "service_tier": "standard",
    }
    if tokens.reasoning:
        usage["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return usage


def _thinking_block(answer: Answer) -> dict[str, Any]:
    thinking = answer.thinking or ""
    seal = anthropic_rules.signature(answer.model, thinking)
    return {"type": "thinking", "thinking": thinking, "signature": seal}


def _content(answer: Answer) -> list[dict[str, Any]]:
    blocks = [] if answer.thinking is None else [_thinking_block(answer)]
    if answer.text or not answer.calls:
        blocks.append({"type": "text", "text": answer.text})
    for call in answer.calls:
        blocks.append({"type": "tool_use", "id": _tool_id(call.id), "name": call.name, "input": _input(call.arguments)})
    return blocks


def _tool_id(call_id: str) -> str:
    return call_id.replace("call_", "toolu_", 1)


def _input(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _streamed(answer: Answer, behaviour: Behaviour) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each content block as it starts, with the deltas that fill it."""
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if answer.thinking is not None:
        block = _thinking_block(answer)
        thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(answer.thinking, None)]
        seal = {"type": "signature_delta", "signature": block["signature"]}
        blocks.append(({**block, "thinking": "", "signature": ""}, [*thoughts, seal]))
    if answer.text or not answer.calls:
        words = [{"type": "text_delta", "text": piece} for piece in pieces(answer.text, behaviour.chunks)]
        blocks.append(({"type": "text", "text": ""}, words))
    for call in answer.calls:
        start = {"type": "tool_use", "id": _tool_id(call.id), "name": call.name, "input": {}}
        parts = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(call.arguments, None)]]
        blocks.append((start, parts))
    return blocks


def _block_events(index: int, block: dict[str, Any], deltas: list[dict[str, Any]]) -> list[bytes]:
    kind = "content_block_"
    start = sse({"type": kind + "start", "index": index, "content_block": block}, kind + "start")
    middle = [sse({"type": kind + "delta", "index": index, "delta": delta}, kind + "delta") for delta in deltas]
    return [start, *middle, sse({"type": kind + "stop", "index": index}, kind + "stop")]
