"""What OpenAI's two APIs have in common: roles, functions, and how an error looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortexd.bridge.asked import Body, rows
from cortexd.bridge.failures import status
from cortexd.errors import BudgetExceeded, CortexError, RequestNotFound

_FUNCTION = ("name", "description", "parameters")
_WORDS: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    403: ("invalid_request_error", "access_denied"),
    404: ("invalid_request_error", "model_not_found"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("requests", "rate_limit_exceeded"),
}
_OUT_OF_MONEY = ("insufficient_quota", "insufficient_quota")  # as OpenAI says it, with 429


def role_of(message: Body) -> Any:
    """The bus calls a developer's message the system's."""
    return "system" if message.get("role") == "developer" else message.get("role")


def functions(body: Body, of: Callable[[Body], Body]) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """The functions among the tools, each where `of` finds it in its row; and what other tools there are."""
    tools = rows(body.get("tools"), "tools")
    found = [of(tool) for tool in tools if tool.get("type") == "function"]
    others = tuple(f"tools.{tool.get('type')}" for tool in tools if tool.get("type") != "function")
    return [{key: one[key] for key in _FUNCTION if one.get(key) is not None} for one in found], others


def failure(error: CortexError) -> tuple[int, dict[str, Any]]:
    """Its status and body."""
    code = status(error)
    kind, word = _OUT_OF_MONEY if isinstance(error, BudgetExceeded) else _WORDS.get(code, ("server_error", None))
    if isinstance(error, RequestNotFound):
        word = None
    return code, {"error": {"message": str(error), "type": kind, "param": None, "code": word}}
