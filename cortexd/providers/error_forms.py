"""The forms in which servers say an error inside a 200, plain or as an event of a stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from cortexd.errors import ProviderError
from cortexd.providers.decoding import dig
from cortexd.providers.failures import error_object

T = TypeVar("T")

_ERROR_TYPE = "error"
# `type` of an event that carries a message and no error.
_HARMLESS = frozenset({"ping", "keepalive", "keep-alive", "keep_alive", "heartbeat", "status", "progress", "info",
                       "queued", "pending", "processing", "in_progress", "running"})  # fmt: skip
# where the flat forms have their parts
_MESSAGES = ("message", "msg", "error_message", "errorMessage")
_KINDS = ("type", "__type", "errorType")
_CODES = ("code", "status", "statusCode", "status_code")
_SUCCESS = frozenset({0, 200, "0", "200", "success", "ok", ""})
# platform.minimax.io, "Error Codes"; others are the server's own
_MINIMAX = {
    1001: "timeout",
    1002: "rate_limit",
    1004: "authentication",
    1008: "insufficient_balance",
    1026: "content_filter",
    1027: "content_filter",
    1039: "rate_limit",  # tokens a minute
    1041: "rate_limit",  # connections
    2013: "invalid_request",
    2049: "invalid_api_key",
}

FAILURE_SHAPE = {
    "error": None,
    "errors": None,
    "base_resp": {"status_code": None, "status_msg": None},
    "object": None,
    "type": None,
    "error_code": None,
    "error_msg": None,
    "error_type": None,
    "detail": None,
    "success": None,
    **dict.fromkeys((*_MESSAGES, *_KINDS, *_CODES)),
}
"""The fields of all these forms, for kinds.Shape."""


def _member(row: dict[str, Any]) -> object:
    """{"error": {...}} or {"error": "..."}: OpenAI, vLLM, LiteLLM, Ollama, TGI."""
    error = row.get("error")
    if isinstance(error, str) and row.get("error_type"):  # TGI: {"error": "...", "error_type": "overloaded"}
        return {"message": error, "type": row["error_type"]}
    return error


def _members(row: dict[str, Any]) -> object:
    """{"errors": [{...}]}: Cloudflare Workers AI."""
    errors = row.get("errors")
    return errors[0] if isinstance(errors, list) and errors else None


def _base_resp(row: dict[str, Any]) -> object:
    """{"base_resp": {"status_code": 1004, "status_msg": "..."}}: MiniMax."""
    code = dig(row, "base_resp", "status_code")
    if code in (None, 0):
        return None
    word = _MINIMAX.get(code) if isinstance(code, int) else None
    return {"code": code, "type": word, "message": dig(row, "base_resp", "status_msg")}


def _named(row: dict[str, Any]) -> object:
    """{"object": "error", "message": ...} (vLLM before 0.9), {"type": "error", "message": ...}."""
    if row.get("object") == _ERROR_TYPE or row.get("type") == _ERROR_TYPE:
        return {**row, "type": row.get("type") if row.get("type") != _ERROR_TYPE else None}
    return None


def _error_code(row: dict[str, Any]) -> object:
    """{"error_code": 336003, "error_msg": "..."}: Baidu; FastChat has the text in `text`."""
    code = row.get("error_code")
    return {"code": code, "message": row.get("error_msg") or row.get("text")} if code else None


def _detail(row: dict[str, Any]) -> object:
    """{"detail": "..."}: FastAPI (transformers serve, llama-cpp-python), RFC 9457."""
    detail = row.get("detail")
    if not detail:
        return None
    return {"code": row.get("status"), "message": detail if isinstance(detail, str) else json.dumps(detail)}


def _flat(row: dict[str, Any]) -> object:
    """{"message": "...", "code": ...} or with `type` or `status`: DashScope, AWS, Mistral, z.AI; `success`: Zhipu's
    and New API's gateways."""
    message, kind, code = (_one_of(row, names) for names in (_MESSAGES, _KINDS, _CODES))
    if not isinstance(message, str):
        return None
    if any(isinstance(word, str) and word.lower() in _HARMLESS for word in (kind, code)):
        return None
    bad_code = isinstance(code, str | int) and _plain(code) not in _SUCCESS
    said = bad_code or isinstance(kind, str) or row.get("success") is False
    return {**row, "message": message, "type": kind, "code": code} if said else None


def _one_of(row: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((value for name in names if (value := row.get(name))), None)


_FORMS: tuple[Callable[[dict[str, Any]], object], ...] = (
    _member,
    _members,
    _base_resp,
    _named,
    _error_code,
    _detail,
    _flat,
)


def failure_in(value: object, *, may_have_billed: bool, message_alone: bool = False) -> ProviderError | None:
    """The failure that a JSON value says, one without an answer in it; None where it says none.

    `message_alone`: {"message": "..."} is one, as where an answer should be.
    """
    if isinstance(value, list) and len(value) == 1:  # Gemini's OpenAI endpoint
        value = value[0]
    if not isinstance(value, dict):
        return None
    error = next((found for form in _FORMS if (found := form(value))), None)
    if error is None and message_alone and isinstance(value.get("message"), str):
        error = value
    return None if error is None else error_object(error, may_have_billed=may_have_billed)


def failure_in_text(data: bytes, *, may_have_billed: bool, message_alone: bool = False) -> ProviderError | None:
    """The same of JSON text; None where it is none."""
    return failure_in(_value(data), may_have_billed=may_have_billed, message_alone=message_alone)


def decoded(decode: Callable[[bytes], T], data: bytes, *, may_have_billed: bool, message_alone: bool = False) -> T:
    """What `decode` makes of `data`; where it raises ProviderError, the failure that is written there, if it is one."""
    try:
        return decode(data)
    except ProviderError:
        if found := failure_in_text(data, may_have_billed=may_have_billed, message_alone=message_alone):
            raise found from None
        raise


def error_event(data: bytes) -> ProviderError:
    """The failure that an event named `error` says, whatever its data."""
    found = failure_in_text(data, may_have_billed=True, message_alone=True)
    return found or error_object(_value(data) or data.decode("utf-8", "replace"), may_have_billed=True)


def _value(data: bytes) -> object:
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def _plain(code: str | int) -> str | int:
    return code.lower() if isinstance(code, str) else code
