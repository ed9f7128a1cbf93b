"""Anthropic's message as an Answer.

Thinking blocks are not content; blocks of types not known here are passed over. `usage.input_tokens` excludes what
was read from and written to the cache: ours is the sum.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from cortexd.domain.messages import Answer
from cortexd.domain.safe_values import safe_text
from cortexd.providers.anthropic.usage import read_usage
from cortexd.providers.collecting import paired, whole_answer
from cortexd.providers.decoding import json_decoder, model_of
from cortexd.providers.error_forms import decoded, failure_in_text
from cortexd.providers.failures import malformed
from cortexd.providers.finishing import LENGTH, check_finish, finish_of
from cortexd.providers.tool_calls import CallIds, RawCall, tool_calls_of

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "stop": "stop",  # servers with OpenAI's words behind Anthropic's form
    "max_tokens": "length",
    "length": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "tool_calls": "tool_calls",
    "refusal": "content_filter",
    "content_filter": "content_filter",
}


class Block(msgspec.Struct):
    type: Any = None
    text: str | None = None
    thinking: Any = None
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


def read_answer(body: bytes, asked_model: str, taken_ids: Collection[str] = ()) -> Answer:
    """The Answer in the body of a 200. Raises ProviderError for an error in any form and for a malformed body."""
    message = _message(body)
    blocks = message.content or []
    check_finish(message.stop_reason)
    raws = [RawCall(block.id, block.name, block.input) for block in blocks if block.type == "tool_use"]
    finish = finish_reason(message.stop_reason, has_tool_calls=bool(raws))
    if finish == LENGTH and blocks and blocks[-1].type == "tool_use":
        raws.pop()  # cut off, however whole its input looks (docs.claude.com, "Handling stop reasons", max_tokens)
    calls = tool_calls_of(raws, finish, CallIds(taken_ids))
    text = safe_text(paired("".join(block.text or "" for block in blocks if block.type == "text")))
    thoughts = "".join(block.thinking for block in blocks if isinstance(block.thinking, str))
    model = model_of(message.model, asked_model)
    return whole_answer(text, thoughts, calls, finish, read_usage(message.usage), model)


def _message(body: bytes) -> Message:
    message = decoded(_decode, body, may_have_billed=False, message_alone=True)
    made = message.content is not None
    found = failure_in_text(body, may_have_billed=made, message_alone=not made) if message.error or not made else None
    if found or not made:
        raise found or malformed("the answer holds no content")
    return message


def finish_reason(word: object, *, has_tool_calls: bool) -> str:
    return finish_of(word, _FINISH, has_tool_calls=has_tool_calls)
