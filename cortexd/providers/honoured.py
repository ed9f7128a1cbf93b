"""Options that an endpoint took and did not honour, as some servers do in silence; seen in the answer."""

from __future__ import annotations

import msgspec

from cortexd.domain.messages import Answer, Call


def ignored_options(call: Call, answer: Answer) -> tuple[str, ...]:
    """The names of those that the answer contradicts. One that was cut off or refused contradicts none."""
    if call.raw is not None:
        return ()
    ignored = []
    if call.response_schema is not None and answer.finish_reason == "stop" and not _is_json(answer):
        ignored.append("response_schema")
    if call.tools and answer.finish_reason in ("stop", "tool_calls") and not _fits_choice(call.tool_choice, answer):
        ignored.append("tool_choice")
    return tuple(name for name in ignored if name not in answer.dropped_options)


def _is_json(answer: Answer) -> bool:
    if answer.tool_calls:
        return True
    try:
        msgspec.json.decode(answer.content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _fits_choice(choice: str | None, answer: Answer) -> bool:
    called = {call.name for call in answer.tool_calls}
    match choice:
        case None | "auto":
            return True
        case "none":
            return not called
        case "required":
            return bool(called)
        case name:
            return name in called
