"""A request's way: record it, check it as the vendor would, then fail or answer as the behaviour says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from aiohttp import web

from simulated.behaviour import Behaviour, Fault
from simulated.billing import CONTEXT_TOKENS, KNOWN_MODELS
from simulated.checks import Refused
from simulated.delivery import Exchange, send_body, send_error, send_plain, send_stream, send_without_answer
from simulated.prompt import Answer, Prompt, answer
from simulated.wire import strict_json

KEY_PREFIX = "sk-sim-"
_KEY_HEADERS = ("x-api-key", "authorization")
_BEFORE_WORK = frozenset({Fault.HANG, Fault.RESET, Fault.WRONG_CONTENT_TYPE, Fault.ERROR_ON_200})


async def respond(exchange: Exchange) -> web.StreamResponse:
    """Cancelled when the client leaves."""
    behaviour, instance = exchange.behaviour, exchange.instance
    if behaviour.fault is not None:
        instance.counts.fault(behaviour.fault)
    try:
        prompt = await _admit(exchange)
    except Refused as refused:
        body = exchange.wire.refusal(refused, exchange.request_id)
        return await send_body(exchange, refused.status, body, exchange.wire.media_type(refused.status))
    if _fails_before_work(exchange, prompt):
        await asyncio.sleep(behaviour.delay_s)
        if behaviour.status != 200:
            return await send_error(exchange, behaviour.status)
        return await send_without_answer(exchange)
    made = answer(prompt, behaviour, exchange.serial)
    await _think(exchange, prompt, made)
    if prompt.stream:
        return await send_stream(exchange, made, prompt)
    return await send_plain(exchange, made, prompt.model)


def _fails_before_work(exchange: Exchange, prompt: Prompt) -> bool:
    fault = exchange.behaviour.fault
    if fault is Fault.STREAM_ERROR:
        return not prompt.stream
    return fault in _BEFORE_WORK or exchange.behaviour.status != 200


async def _think(exchange: Exchange, prompt: Prompt, made: Answer) -> None:
    """The delay of a slow model. Who leaves meanwhile is billed: for all of a plain answer, for a stream's input."""
    if not exchange.behaviour.delay_s:
        return
    try:
        await asyncio.sleep(exchange.behaviour.delay_s)
    except asyncio.CancelledError:
        tokens = made.tokens.part(0, 1) if prompt.stream else made.tokens
        exchange.instance.billed_undelivered.add(prompt.model, tokens)
        raise


async def _admit(exchange: Exchange) -> Prompt:
    """Raises Refused for what the vendor would refuse, in the vendor's order: key, headers, body, model, length."""
    request, behaviour, wire = exchange.request, exchange.behaviour, exchange.wire
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        exchange.instance.record(request.path, _safe(headers), b"")
        raise Refused((), "Request exceeds the maximum size", status=413) from None
    exchange.instance.record(request.path, _safe(headers), body)
    wire.check_headers(_as_usual(headers, behaviour), lambda key: _accepts(key, behaviour.keys))
    value = strict_json(body)
    for name in behaviour.refused_fields:
        if isinstance(value, dict) and name in value:
            raise wire.refused_field(name)
    prompt = wire.prompt(value, headers) if behaviour.script is None else _unruled(value)
    if behaviour.ignores_stream:
        prompt = replace(prompt, stream=False)
    known = KNOWN_MODELS.get(exchange.instance.name) if behaviour.models is None else behaviour.models
    unknown = known is not None and prompt.model not in known
    limit = behaviour.context_tokens or CONTEXT_TOKENS.get(prompt.model, prompt.tokens)
    refused = (unknown and wire.unknown_model(prompt.model)) or (prompt.tokens > limit and wire.too_long(prompt, limit))
    if refused:
        raise refused
    return prompt


def _unruled(body: Any) -> Prompt:
    """What a scripted answer needs to know. Raises Refused."""
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise Refused(("model",), "Field required", kind="missing")
    return Prompt(body["model"], "", 0, stream=body.get("stream") is True)


def _as_usual(headers: dict[str, str], behaviour: Behaviour) -> dict[str, str]:
    """What a gateway passes on to the vendor. Raises Refused for what it does not let in."""
    if any(headers.get(name.lower()) != value for name, value in behaviour.demanded_headers.items()):
        raise Refused((), "a header that this gateway demands is missing", status=403)
    if behaviour.key_header is None:
        return headers
    rest = {name: value for name, value in headers.items() if name not in _KEY_HEADERS}
    if "authorization" in headers or behaviour.key_header not in headers:
        raise Refused((), f"send the key as {behaviour.key_header} and in no other header", status=401)
    return {**rest, "authorization": f"Bearer {headers[behaviour.key_header]}"}


def _accepts(key: str, keys: tuple[str, ...] | None) -> bool:
    return key.startswith(KEY_PREFIX) if keys is None else key in keys


def _safe(headers: dict[str, str]) -> dict[str, str]:
    """Headers fit to be recorded: a key that is not a simulated one is left out."""
    return {
        name: value
        if name not in _KEY_HEADERS or value.removeprefix("Bearer ").startswith(KEY_PREFIX)
        else "(withheld)"
        for name, value in headers.items()
    }
