"""Anthropic's message as an Answer.

Thinking blocks are not content; blocks of types not known here are passed over. `usage.input_tokens` excludes what
was read from and written to the cache: ours is the sum.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cortexd.domain.messages import Answer, Usage
from cortexd.domain.safe_values import safe_text
from cortexd.providers.decoding import dig, finish_of, json_decoder, json_text, model_of, tool_calls_of, usage_of
from cortexd.providers.failures import error_object, malformed

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class Block(msgspec.Struct):
    type: Any = None
    text: str | None = None
    id: Any = None
    name: Any = None
    input: Any = None


class Message(msgspec.Struct):
    content: list[Block] | None = None
    model: Any = None
    stop_reason: Any = None
    usage: Any = None
    error: Any = None


_decode = json_decoder(Message)


def read_answer(body: bytes, asked_model: str) -> Answer:
    """The Answer in the body of a 200. Raises ProviderError for an error object and for a malformed body."""
    message = _decode(body)
    if message.error is not None:
        raise error_object(message.error, may_have_billed=False)
    if message.content is None:
        raise malformed("the answer holds no content")
    uses = [block for block in message.content if block.type == "tool_use"]
    texts = [block.text or "" for block in message.content if block.type == "text"]
    return Answer(
        content=safe_text("".join(texts)),
        model=model_of(message.model, asked_model),
        usage=read_usage(message.usage),
        finish_reason=finish_reason(message.stop_reason, has_tool_calls=bool(uses)),
        tool_calls=tool_calls_of((use.id, use.name, arguments_text(use.input)) for use in uses),
    )


def finish_reason(word: object, *, has_tool_calls: bool) -> str:
    return finish_of(word, _FINISH, has_tool_calls=has_tool_calls)


def arguments_text(value: object) -> str:
    """A tool call's input as JSON text; text as it came."""
    if value is None:
        return "{}"
    return safe_text(value) if isinstance(value, str) else json_text(value)


def read_usage(usage: object) -> Usage | None:
    """The usage object in ours; None where it says nothing that can be counted."""
    read, written = dig(usage, "cache_read_input_tokens"), dig(usage, "cache_creation_input_tokens")
    return usage_of(
        prompt=(dig(usage, "input_tokens"), read, written),
        output=dig(usage, "output_tokens"),
        cached=read,
        written=written,
        reasoning=dig(usage, "output_tokens_details", "thinking_tokens"),
    )
