"""A Call as an SDK's method takes it, and what the method gives as cortexd's own readers take it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cortexd.domain.messages import Answer, Call
from cortexd.domain.quirks import Quirk, Quirks
from cortexd.library.in_process.seeing import encode, seen
from cortexd.providers.kinds import ApiKind
from cortexd.providers.request_body import RequestBody


@dataclass(frozen=True, slots=True)
class Request:
    """Keyword arguments for the SDK's method, of the `body` as it was written for `quirks`. `streamed`: the answer
    comes as events, also where a whole one was asked for."""

    arguments: dict[str, Any]
    body: RequestBody
    quirks: Quirks
    streamed: bool


def request_of(kind: ApiKind, call: Call, quirks: Quirks, *, stream: bool) -> Request:
    """`call` in the vendor's words. Raises ProviderError where it cannot be written as JSON."""
    body, form = kind.request(call, quirks), kind.sdk_call
    fields: dict[str, Any] = json.loads(body.whole())
    streamed = (stream and Quirk.NO_STREAM not in quirks) or body.streamed
    if streamed:
        fields |= form.streaming
    arguments = {name: value for name, value in fields.items() if name in form.named}
    if extra := {name: value for name, value in fields.items() if name not in form.named}:
        arguments["extra_body"] = extra
    if streamed and Quirk.NO_STREAM_OPTIONS in quirks:
        arguments.pop("stream_options", None)
    return Request(arguments, body, quirks, streamed)


def is_answer(kind: ApiKind, given: Any) -> bool:
    """Whether the SDK, or a fake in its place, gave an answer where a stream was asked for."""
    row = seen(given, kind.sdk_call.answer)
    return isinstance(row, dict) and bool(row.get(kind.sdk_call.whole))


def answer_in(kind: ApiKind, given: Any, asked_model: str) -> Answer:
    """The Answer in a whole response. Raises ProviderError."""
    row = seen(given, kind.sdk_call.answer)
    return kind.read(encode(row if kind.sdk.made(given) else kind.sdk_call.completed(row)), asked_model)


def as_dictionary(kind: ApiKind, given: Any) -> dict[str, Any] | None:
    """All that the SDK's object, or a fake's, says, beyond the answer; None where it cannot say."""
    dump = getattr(given, "model_dump", None)
    quietly = {"warnings": False} if kind.sdk.made(given) else {}  # of types other than the SDK declares
    try:
        found = dump(**quietly) if callable(dump) else given
    except (TypeError, ValueError):
        return None
    return found if isinstance(found, dict) else None
