"""An OpenAI-style chat completion as an Answer.

`usage.prompt_tokens` includes the cached tokens. Where these stand depends on the server: OpenAI and most others
`prompt_tokens_details.cached_tokens`, Moonshot `cached_tokens`, DeepSeek `prompt_cache_hit_tokens`. A refusal is
the answer's text, with the finish reason content_filter.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cortexd.domain.messages import Answer, Usage
from cortexd.domain.safe_values import safe_text
from cortexd.providers.decoding import dig, finish_of, json_decoder, json_text, model_of, tool_calls_of, usage_of
from cortexd.providers.failures import error_object, malformed

_FINISH = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
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
    tool_calls: list[FunctionCall] | None = None


class Choice(msgspec.Struct):
    message: Reply | None = None
    finish_reason: Any = None


class Completion(msgspec.Struct):
    choices: list[Choice] | None = None
    model: Any = None
    usage: Any = None
    error: Any = None


_decode = json_decoder(Completion)


def read_answer(body: bytes, asked_model: str) -> Answer:
    """The Answer in the body of a 200. Raises ProviderError for an error object and for a malformed body."""
    completion = _decode(body)
    if completion.error is not None and not completion.choices:
        raise error_object(completion.error, may_have_billed=False)
    if not completion.choices or completion.choices[0].message is None:
        raise malformed("the answer holds no message")
    choice, reply = completion.choices[0], completion.choices[0].message
    calls = reply.tool_calls or ()
    text, refused = _text(reply)
    return Answer(
        content=safe_text(text),
        model=model_of(completion.model, asked_model),
        usage=read_usage(completion.usage),
        finish_reason=finish_reason(choice.finish_reason, refused=refused, has_tool_calls=bool(calls)),
        tool_calls=tool_calls_of((call.id, *_function(call.function)) for call in calls),
    )


def _text(reply: Reply) -> tuple[str, bool]:
    """The reply's text, and whether it is a refusal."""
    if isinstance(reply.content, list):
        texts = (dig(part, "text") for part in reply.content)
        return "".join(text for text in texts if isinstance(text, str)), False
    if not reply.content and isinstance(reply.refusal, str) and reply.refusal:
        return reply.refusal, True
    return reply.content or "", False


def _function(function: Function | None) -> tuple[object, str]:
    if function is None:
        return None, ""
    arguments = function.arguments
    if isinstance(arguments, str):
        return function.name, safe_text(arguments)
    return function.name, "{}" if arguments is None else json_text(arguments)


def finish_reason(word: object, *, refused: bool, has_tool_calls: bool) -> str:
    return "content_filter" if refused else finish_of(word, _FINISH, has_tool_calls=has_tool_calls)


def read_usage(usage: object) -> Usage | None:
    """The usage object in ours; None where it says nothing that can be counted."""
    places = (("prompt_tokens_details", "cached_tokens"), ("cached_tokens",), ("prompt_cache_hit_tokens",))
    cached = next((found for place in places if (found := dig(usage, *place)) is not None), None)
    return usage_of(
        prompt=(dig(usage, "prompt_tokens"),),
        output=dig(usage, "completion_tokens"),
        cached=cached,
        written=None,
        reasoning=dig(usage, "completion_tokens_details", "reasoning_tokens"),
    )
