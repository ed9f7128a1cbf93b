"""Requests in a vendor's own words: taken in, sent as they are where that can be, and answered in the same words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import msgspec

from cortexd.authority import Caller
from cortexd.config.settings import LimitSettings
from cortexd.domain.messages import Message, OnBreak, Options, Role
from cortexd.domain.raw import RawCall
from cortexd.domain.safe_values import escaped_unsafe, safe_text
from cortexd.domain.tasks import parse_task_type
from cortexd.errors import InvalidArgument, TooLarge
from cortexd.formats import SEARCHES, Answered, Asked, Format, decoded, format_named, places_in, rewritten, said
from cortexd.requests.intake import Request, bounds_of, request_of
from cortexd.requests.results import Completion
from cortexd.requests.setup import Setup
from cortexd.routing import Candidate, Question
from cortexd.routing.raw import RawBody
from cortexd.validation import Bounds, content_hash, parse_messages, parse_options, parse_raw_options

UNREAD = "its messages or tools have no words elsewhere"
RAW, TRANSLATED = "raw", "translated"
_OPENAI = "openai"
_SLOWEST_PER_S = 35.0  # tokens; anthropic 2.12 expects as many (_base_client.py, _calculate_nonstreaming_timeout)
_LONG = 32_768  # tokens, where nobody set a limit
_TOOLS = ("tools", "functions", "mcp_servers", *SEARCHES)
_INSTEAD = {True: "Set it to true, or call CompleteRaw.", False: "Leave it out, or call OpenRawStream."}


class Told(NamedTuple):
    """An answer's `body` in the form of the request's. `lost`: names of what a translation has left out of that."""

    body: str
    lane: str
    lost: tuple[str, ...] = ()


def take_in_raw(
    caller: Caller, form_name: str, task_type: str, text: str, options: object, limits: LimitSettings, *, stream: bool
) -> Request:
    """A checked request. `stream`: the answer is wanted as one. Raises InvalidArgument and its kin, or TooLarge."""
    bounds, form, kind = bounds_of(limits), format_named(form_name), parse_task_type(task_type)
    body = text.encode("utf-8", "surrogatepass")
    if len(body) > bounds.max_prompt_bytes:
        raise TooLarge(f"body: expected at most {bounds.max_prompt_bytes} bytes, got {len(body)}")
    beside, headers = parse_raw_options(options, bounds)
    beside = replace(beside, on_break=OnBreak.FAIL)
    places = places_in(body)  # no two parsers may read it differently
    raw, messages, wanted = _read(form, body, beside, bounds)
    if raw.streamed is not stream:
        raise InvalidArgument(f"body.stream: expected {str(stream).lower()}. {_INSTEAD[stream]}")
    raw = replace(raw, headers=headers, places=places)
    question = Question(kind, messages, wanted, datetime.now(UTC), raw=raw)
    return request_of(caller, question, limits, lambda: _hash(kind.value, beside, raw))


def _read(form: Format, body: bytes, beside: Options, bounds: Bounds) -> tuple[RawBody, tuple[Message, ...], Options]:
    """What of a body has words here. Raises InvalidArgument for what nobody could bound or price."""
    known = decoded(body)
    try:
        asked, extras = form.asked(known), form.extras(known)
    except RecursionError:
        raise InvalidArgument("The body nests too deeply.") from None
    if extras.rates:
        names = ", ".join(extras.rates)
        raise InvalidArgument(f"{names:.200}: the price list has no price for that. Leave it out.")
    messages, wanted, native = _parsed(asked, beside, bounds, body)
    most, times = form.most_output(known)
    raw = RawBody(
        form,
        body,
        replace(asked, messages=[], options={}),
        extras,
        most_output=most,
        times=times,
        native=native,
        tools=bool(said(known, *_TOOLS)),
        keeps=beside.request_id is not None or beside.cache,
    )
    return raw, messages, wanted


def _parsed(asked: Asked, beside: Options, bounds: Bounds, body: bytes) -> tuple[tuple[Message, ...], Options, str]:
    """The conversation, the options with those of the body, and why only the body's own API has words for it; then all
    of it is one text. Raises TooLarge."""
    try:
        messages, own = parse_messages(asked.messages, bounds), parse_options(asked.options, bounds)
    except InvalidArgument:
        text = safe_text(body.decode("utf-8", "replace"))
        return (Message(Role.USER, text),), beside, ", ".join((*asked.native, UNREAD))
    wanted = replace(
        beside,
        temperature=own.temperature,
        max_tokens=own.max_tokens,
        tools=own.tools,
        tool_choice=own.tool_choice,
        response_schema=own.response_schema,
    )
    return messages, wanted, ", ".join(asked.native)


def _hash(task_type: str, beside: Options, raw: RawBody) -> bytes:
    """To tell a repeated request from a reused id: by every byte of its body."""
    made = hashlib.sha256(content_hash(task_type, (), Options(provider=beside.provider, model=beside.model)))
    made.update(json.dumps([raw.form.name, sorted(raw.headers.items())]).encode())
    made.update(raw.body)
    return made.digest()


def raw_call(question: Question, candidate: Candidate, setup: Setup) -> RawCall | None:
    """What the candidate is sent as it is; None where it needs a translation."""
    raw = question.raw
    if raw is None or setup.config.providers[candidate.provider].api != raw.form.name:
        return None
    content = rewritten(raw.body, candidate.model, raw.places)
    if not raw.streamed or raw.form.name != _OPENAI or raw.asked.tells_usage:
        return RawCall(content, raw.streamed, raw.headers, raw.keeps, not raw.native)
    counted = partial(rewritten, raw.body, candidate.model, raw.places, counted=True)
    return RawCall(content, raw.streamed, raw.headers, raw.keeps, not raw.native, counted, raw.form.unasked)


def silence_s(raw: RawCall, candidate: Candidate, timeout_s: float) -> float:
    """How long the provider may be silent: nothing comes of a whole answer before its end, however long it is."""
    longest = (candidate.max_tokens or _LONG) / _SLOWEST_PER_S
    return timeout_s if raw.streamed else max(timeout_s, longest)


def raw_of(request: Request) -> RawBody:
    raw = request.question.raw
    assert raw is not None, "taken in by take_in_raw"
    return raw


def told(raw: RawBody, completion: Completion) -> Told:
    """The answer to a request that was no stream."""
    if completion.answer.raw is not None:
        return Told(escaped_unsafe(completion.answer.raw.decode()), RAW)
    body = msgspec.json.encode(raw.form.answer(answered(completion)))
    return Told(escaped_unsafe(body.decode()), TRANSLATED, lost(raw, completion.dropped_options))


def lost(raw: RawBody, dropped_options: Sequence[str] = ()) -> tuple[str, ...]:
    """What a translation leaves out."""
    return tuple(dict.fromkeys((*raw.asked.lost, *dropped_options)))


def answered(completion: Completion) -> Answered:
    answer = completion.answer
    return Answered(
        completion.request_id,
        completion.model,
        completion.content,
        answer.tool_calls,
        completion.finish_reason,
        answer.usage,
        answer.reasoning,
        completion.created,
    )
