"""What a stream tells, and the JSON lines it comes as."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cortexd.client.results import Completion
from cortexd.connection import wire
from cortexd.domain.messages import ToolCall
from cortexd.domain.safe_values import safe_text
from cortexd.errors import CortexError, Internal


@dataclass(frozen=True, slots=True)
class TextEvent:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallEvent:
    """The model calls a tool. It comes once the call is whole."""

    tool_call: ToolCall


@dataclass(frozen=True, slots=True)
class FallbackEvent:
    """The provider failed in the middle. What came so far counts no more: `provider` starts the answer again."""

    provider: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class ContinueEvent:
    """The provider failed in the middle. `provider` goes on from there: the text is one."""

    provider: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class DoneEvent:
    """The end. `completion.content` is the whole text."""

    completion: Completion


StreamEvent = TextEvent | ToolCallEvent | FallbackEvent | ContinueEvent | DoneEvent


def event_of(line: bytes) -> StreamEvent | CortexError | None:
    """What a line says; None for a type that this version does not know. `done` comes without the text.

    Raises Internal for what is no event.
    """
    try:
        row = json.loads(line)
        read = _TYPES.get(row["type"])
        return None if read is None else read(row)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise Internal(f"the stream cannot be read: {type(error).__name__} in an event") from None


def _text(row: dict[str, Any]) -> TextEvent:
    return TextEvent(safe_text(row["text"]))


def _tool_call(row: dict[str, Any]) -> ToolCallEvent:
    return ToolCallEvent(ToolCall(row["id"], row["name"], row["arguments"]))


def _fallback(row: dict[str, Any]) -> FallbackEvent:
    return FallbackEvent(row.get("provider", ""), row.get("model", ""), row.get("reason", ""))


def _continue(row: dict[str, Any]) -> ContinueEvent:
    return ContinueEvent(row.get("provider", ""), row.get("model", ""), row.get("reason", ""))


def _done(row: dict[str, Any]) -> DoneEvent:
    return DoneEvent(Completion.of("", row["metadata"]))


def _error(row: dict[str, Any]) -> CortexError:
    return wire.error_from(row["name"], row.get("message", ""))


_TYPES: dict[str, Callable[[dict[str, Any]], StreamEvent | CortexError]] = {
    "text": _text,
    "tool_call": _tool_call,
    "fallback": _fallback,
    "continue": _continue,
    "done": _done,
    "error": _error,
}
