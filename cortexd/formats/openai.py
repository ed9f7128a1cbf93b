"""What OpenAI's two APIs have in common: roles, functions, and how an error looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortexd.errors import BudgetExceeded, CortexError, RequestNotFound
from cortexd.formats.asked import Body, Missed, kind_of, rows
from cortexd.formats.failures import status

_NO_WISH = ("auto", "none")
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


def functions(body: Body, of: Callable[[Body], Body], missed: Missed) -> list[dict[str, Any]]:
    """The functions among the tools, each where `of` finds it in its row."""
    tools = rows(body.get("tools"), "tools")
    missed.leave_out(*(f"tools.{kind_of(tool)}" for tool in tools if tool.get("type") != "function"))
    found = [of(tool) for tool in tools if tool.get("type") == "function"]
    return [{key: one[key] for key in _FUNCTION if one.get(key) is not None} for one in found]


def chosen(choice: object, named: object, tools: list[dict[str, Any]], missed: Missed) -> str | None:
    """A tool choice in the words of the bus; `named`: the function that `choice` names, where it names one."""
    if choice is None or (not tools and choice in _NO_WISH):
        return None
    if isinstance(choice, str) and tools:
        return choice
    if isinstance(named, str) and any(tool.get("name") == named for tool in tools):
        return named
    missed.leave_out("tool_choice")
    return None


def failure(error: CortexError) -> tuple[int, dict[str, Any]]:
    """Its status and body."""
    code = status(error)
    kind, word = _OUT_OF_MONEY if isinstance(error, BudgetExceeded) else _WORDS.get(code, ("server_error", None))
    if isinstance(error, RequestNotFound):
        word = None
    return code, {"error": {"message": error.message, "type": kind, "param": None, "code": word}}
