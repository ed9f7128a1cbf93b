"""A response as an Answer: its items are messages, tool calls and reasoning; others are passed over.

A refusal is the answer's text where there is no other, with the finish reason content_filter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from cortexd.domain.messages import Answer
from cortexd.domain.safe_values import safe_text
from cortexd.errors import Failure, ProviderError
from cortexd.providers.collecting import paired, whole_answer
from cortexd.providers.decoding import dig, json_decoder, model_of
from cortexd.providers.error_forms import decoded, failure_in_text
from cortexd.providers.failures import error_object, malformed
from cortexd.providers.finishing import (
    CONTENT_FILTER,
    CUT,
    LENGTH,
    STOP,
    check_finish,
    finish_of,
    said,
)
from cortexd.providers.responses.usage import read_usage
from cortexd.providers.tool_calls import CallIds, RawCall, tool_calls_of

MESSAGE, CALL, REASONING = "message", "function_call", "reasoning"
COMPLETED, INCOMPLETE, FAILED = "completed", "incomplete", "failed"
_GOING_ON = ("in_progress", "queued")
_UNFINISHED = ("in_progress", INCOMPLETE)
# incomplete_details.reason; other words are the provider's own
_FINISH = {
    "stop": STOP,
    "max_output_tokens": LENGTH,
    "max_tokens": LENGTH,
    "length": LENGTH,
    "content_filter": CONTENT_FILTER,
}


class Item(msgspec.Struct):
    type: Any = None
    id: Any = None
    status: Any = None
    content: list[Any] | str | None = None
    summary: Any = None
    call_id: Any = None
    name: Any = None
    arguments: Any = None

    @property
    def unfinished(self) -> bool:
        return self.status in _UNFINISHED

    def raw(self) -> RawCall:
        return RawCall(self.call_id or self.id, self.name, self.arguments)


class Response(msgspec.Struct):
    output: list[Item] | None = None
    status: Any = None
    incomplete_details: Any = None
    error: Any = None
    model: Any = None
    usage: Any = None


_decode = json_decoder(Response)


def read_answer(body: bytes, asked_model: str, taken_ids: Collection[str] = ()) -> Answer:
    """The Answer in the body of a 200. Raises ProviderError for an error in any form and for a malformed body."""
    response = _response(body)
    items = response.output or []
    text, refused = text_of(items)
    text = safe_text(paired(text))
    word = end_of(response)
    raws = [item.raw() for item in whole_calls(items, finish_reason(word))]
    finish = finish_reason(word, refused=refused, has_tool_calls=bool(raws))
    calls = tool_calls_of(raws, finish, CallIds(taken_ids))
    thoughts = "".join(reasoning_in(items))
    model = model_of(response.model, asked_model)
    return whole_answer(text, thoughts, calls, finish, read_usage(response.usage), model)


def _response(body: bytes) -> Response:
    response = decoded(_decode, body, may_have_billed=False, message_alone=True)
    made = response.output is not None
    if not made and (found := failure_in_text(body, may_have_billed=False, message_alone=True)):
        raise found
    if not made and response.status is None:
        raise malformed("the answer holds no output")
    if response.status in _GOING_ON:
        raise malformed("the answer has not ended")
    return response


def end_of(response: Response, status: object = None) -> str:
    """The provider's reason for the end. `status`: what it is where the response does not say it.

    Raises ProviderError where the answer broke off or failed.
    """
    if response.error:
        raise error_object(response.error, may_have_billed=True)
    word = said(response.status)
    if word is None or word in _GOING_ON:
        word = said(status) or COMPLETED
    if word == FAILED:
        raise ProviderError(Failure.SERVER, "the answer failed; the provider does not say why", may_have_billed=True)
    if word == INCOMPLETE:
        word = said(dig(response.incomplete_details, "reason")) or LENGTH
    check_finish(word)
    return STOP if word == COMPLETED else word


def finish_reason(word: object, *, refused: bool = False, has_tool_calls: bool = False) -> str:
    return CONTENT_FILTER if refused else finish_of(word, _FINISH, has_tool_calls=has_tool_calls)


def text_of(items: Iterable[Item]) -> tuple[str, bool]:
    """What the messages among `items` say, and whether it is a refusal."""
    contents = [item.content for item in items if item.type == MESSAGE]
    parts = [part for content in contents for part in (content if isinstance(content, list) else [{"text": content}])]
    text, refusal = ("".join(_texts(parts, name)) for name in ("text", "refusal"))
    return text or refusal, bool(refusal and not text)


def reasoning_in(items: Iterable[Item]) -> Iterator[str]:
    for item in items:
        if item.type == REASONING:
            yield from _texts(item.content, "text")
            yield from _texts(item.summary, "text")


def whole_calls(items: Iterable[Item], finish: str) -> list[Item]:
    """The tool calls among `items`; of an answer that was cut off those that the provider calls whole."""
    return [item for item in items if item.type == CALL and not (finish in CUT and item.unfinished)]


def _texts(parts: object, name: str) -> Iterator[str]:
    found = (dig(part, name) for part in parts) if isinstance(parts, list) else ()
    return (text for text in found if isinstance(text, str))
