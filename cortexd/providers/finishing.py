"""How an answer ended, in the domain's words; and the words that say that it did not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from cortexd.domain.messages import ToolCall, Usage
from cortexd.domain.safe_values import bounded_text
from cortexd.errors import Failure, ProviderError

STOP, LENGTH, TOOL_CALLS, CONTENT_FILTER = "stop", "length", "tool_calls", "content_filter"
CUT = frozenset({LENGTH, CONTENT_FILTER})
"""After these the last tool call may be half of one."""
_MAX_FINISH = 64
_PARTS = re.compile(r"[^a-z]+")
# Written by gateways where there is none: DashScope's native API, older Qwen and Baichuan servers.
_NOT_SAID = frozenset({"", "null", "none"})
# Reasons that mean that the answer broke off. Any other unknown word is the provider's own reason for a whole answer.
_FAILED = {
    "error": Failure.SERVER,  # OpenRouter and other gateways (openrouter.ai/docs/api-reference/errors)
    "failed": Failure.SERVER,
    "failure": Failure.SERVER,
    "internal_error": Failure.SERVER,
    "server_error": Failure.SERVER,
    "model_error": Failure.SERVER,
    "network_error": Failure.SERVER,  # Z.AI: "model inference anomaly" (docs.z.ai, chat completion)
    "connection_error": Failure.SERVER,
    "insufficient_system_resource": Failure.OVERLOADED,  # DeepSeek (api-docs.deepseek.com, create-chat-completion)
    "overloaded": Failure.OVERLOADED,
    "abort": Failure.SERVER,  # vLLM FinishReason.ABORT, SGLang FINISH_ABORT
    "aborted": Failure.SERVER,
    "cancelled": Failure.SERVER,
    "canceled": Failure.SERVER,
    "interrupted": Failure.SERVER,
    "timeout": Failure.TIMEOUT,
    "time_out": Failure.TIMEOUT,
    "rate_limit": Failure.RATE_LIMITED,
    "malformed_function_call": Failure.MALFORMED,  # Gemini FinishReason (ai.google.dev/api/generate-content)
    "malformed_response": Failure.MALFORMED,
    "unexpected_tool_call": Failure.MALFORMED,
    "too_many_tool_calls": Failure.MALFORMED,
    "missing_thought_signature": Failure.MALFORMED,
}
# One of these in a reason that no table has says the same: engine_overloaded, upstream_error, user_cancelled.
_FAILED_BY_PART = {
    "overloaded": Failure.OVERLOADED,
    "timeout": Failure.TIMEOUT,
    "timed": Failure.TIMEOUT,
    "rate": Failure.RATE_LIMITED,
    "malformed": Failure.MALFORMED,
    **dict.fromkeys(
        ("error", "errors", "exception", "fail", "failed", "failure", "abort", "aborted", "cancelled", "canceled",
         "interrupted", "disconnect", "disconnected", "killed", "preempted", "crashed", "oom", "eof"),
        Failure.SERVER,
    ),
}  # fmt: skip


@dataclass(slots=True, eq=False)
class EmptyAnswer(ProviderError):
    """An answer that ended and holds nothing, or not what it speaks of. `usage`: what it costs all the same."""

    usage: Usage | None = None


def said(word: object) -> str | None:
    """The provider's reason for the end, None where it has given none."""
    if not isinstance(word, str) or word.strip().lower() in _NOT_SAID:
        return None
    return word


def check_finish(word: object) -> None:
    """Raises ProviderError where `word` says that the answer broke off."""
    reason = said(word)
    plain = reason.strip().lower() if reason else ""
    if reason and len(plain) <= _MAX_FINISH and (failure := _failure_of(plain)):
        message = f"the answer broke off: {bounded_text(reason, _MAX_FINISH)}"
        raise ProviderError(failure, message, may_have_billed=True)


@lru_cache(maxsize=64)
def _failure_of(reason: str) -> Failure | None:
    if exact := _FAILED.get(reason):
        return exact
    parts = set(_PARTS.split(reason))
    return next((failure for part, failure in _FAILED_BY_PART.items() if part in parts), None)


def finish_of(word: object, table: Mapping[str, str], *, has_tool_calls: bool) -> str:
    """The vendor's reason in the domain's words, its own word where there is none; none at all means it is complete.

    A complete answer with tool calls ended with them, whatever the server says (OpenAI and vLLM say `stop` where a tool
    was named).
    """
    reason = said(word) or STOP
    finish = table.get(reason.strip().lower()) or bounded_text(reason, _MAX_FINISH)
    return TOOL_CALLS if finish == STOP and has_tool_calls else finish


def check_substance(finish: str, content: str, calls: tuple[ToolCall, ...], usage: Usage | None) -> None:
    """Raises EmptyAnswer, with its `usage`, for an answer with nothing in it, and for one without the tool calls it
    speaks of.

    What was cut or filtered may be empty. Reasoning alone is nothing.
    """
    if finish == TOOL_CALLS and not calls:
        raise _empty("the answer promises tool calls and holds none", usage)
    if finish not in CUT and not content and not calls:
        raise _empty("the answer is empty", usage)


def _empty(problem: str, usage: Usage | None) -> EmptyAnswer:
    return EmptyAnswer(Failure.MALFORMED, problem, may_have_billed=True, usage=usage)
