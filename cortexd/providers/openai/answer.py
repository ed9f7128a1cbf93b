"""An OpenAI-style chat completion as an Answer.

A refusal is the answer's text, with the finish reason content_filter. Usage: see usage.py.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from cortexd.domain.messages import Answer
from cortexd.domain.safe_values import safe_text
from cortexd.providers.collecting import paired, whole_answer
from cortexd.providers.decoding import dig, json_decoder, model_of
from cortexd.providers.error_forms import decoded, failure_in_text
from cortexd.providers.failures import error_object, malformed
from cortexd.providers.finishing import check_finish, finish_of
from cortexd.providers.openai.usage import read_usage, usage_beside
from cortexd.providers.tool_calls import CallIds, RawCall, tool_calls_of

_FINISH = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "eos": "stop",  # Together, older TGI
    "eos_token": "stop",  # TGI
    "end_turn": "stop",  # gateways before Claude
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",  # Gemini's word, and Anthropic's
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",  # Z.AI
    "sensitive": "content_filter",  # Z.AI
    "safety": "content_filter",  # Gemini
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
    "spii": "content_filter",
    "image_safety": "content_filter",
    "refusal": "content_filter",
}


class Function(msgspec.Struct):
    name: Any = None
    arguments: Any = None


class FunctionCall(msgspec.Struct):
    id: Any = None
    function: Function | None = None


class Reply(msgspec.Struct):
    content: str | list[Any] | None = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[FunctionCall] | None = None


class Choice(msgspec.Struct):
    message: Reply | None = None
    finish_reason: Any = None
    error: Any = None


class Completion(msgspec.Struct):
    choices: list[Choice] | None = None
    model: Any = None
    usage: Any = None
    x_groq: Any = None
    timings: Any = None
    error: Any = None


_decode = json_decoder(Completion)


def read_answer(body: bytes, asked_model: str, taken_ids: Collection[str] = ()) -> Answer:
    """The Answer in the body of a 200. Raises ProviderError for an error in any form and for a malformed body."""
    completion = _completion(body)
    choice, reply = _choice(completion)
    text, refused = _text(reply)
    text = safe_text(paired(text))
    raws = [_raw(call) for call in reply.tool_calls or ()]
    finish = finish_reason(choice.finish_reason, refused=refused, has_tool_calls=bool(raws))
    calls = tool_calls_of(raws, finish, CallIds(taken_ids))
    reported = read_usage(usage_beside(completion.usage, completion.x_groq, completion.timings))
    thoughts = _reasoning(reply)
    model = model_of(completion.model, asked_model)
    return whole_answer(text, thoughts, calls, finish, reported, model)


def _completion(body: bytes) -> Completion:
    completion = decoded(_decode, body, may_have_billed=False, message_alone=True)
    made = bool(completion.choices)
    if (completion.error or not made) and (
        found := failure_in_text(body, may_have_billed=made, message_alone=not made)
    ):
        raise found
    return completion


def _choice(completion: Completion) -> tuple[Choice, Reply]:
    if not completion.choices:
        raise malformed("the answer holds no message")
    choice = completion.choices[0]
    if choice.error:
        raise error_object(choice.error, may_have_billed=True)
    check_finish(choice.finish_reason)
    if choice.message is None:
        raise malformed("the answer holds no message")
    return choice, choice.message


def _text(reply: Reply) -> tuple[str, bool]:
    """The reply's text, and whether it is a refusal."""
    if isinstance(reply.content, list):
        texts = (dig(part, "text") for part in reply.content)
        return "".join(text for text in texts if isinstance(text, str)), False
    if not reply.content and isinstance(reply.refusal, str) and reply.refusal:
        return reply.refusal, True
    return reply.content or "", False


def _raw(call: FunctionCall) -> RawCall:
    function = call.function or Function()
    return RawCall(call.id, function.name, function.arguments)


def _reasoning(reply: Reply) -> str:
    reasoning = reply.reasoning_content or reply.reasoning
    return reasoning if isinstance(reasoning, str) else ""


def finish_reason(word: object, *, refused: bool, has_tool_calls: bool) -> str:
    return "content_filter" if refused else finish_of(word, _FINISH, has_tool_calls=has_tool_calls)
