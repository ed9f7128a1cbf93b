"""What the client library gives, for the forms to tell."""

from __future__ import annotations

from cortexd.client import Completion, DoneEvent, StreamEvent, TextEvent, ToolCallEvent
from cortexd.domain.messages import Usage
from cortexd.formats import Answered, Telling


def answered(completion: Completion) -> Answered:
    tokens = completion.tokens
    return Answered(
        completion.request_id,
        completion.model,
        completion.content,
        completion.tool_calls,
        completion.finish_reason,
        Usage(tokens.input, tokens.output, tokens.cached, reasoning_tokens=tokens.reasoning),
        completion.reasoning_content,
    )


def told_of(telling: Telling, event: StreamEvent) -> bytes:
    """Nothing of another provider that begins anew, or goes on: no form has a word for it."""
    match event:
        case TextEvent(piece):
            return telling.text(piece)
        case ToolCallEvent(call):
            return telling.tool_call(call)
        case DoneEvent(completion):
            return telling.done(answered(completion))
    return b""
