"""Sends what an exchange ends in, over a connection that may break on purpose, and books it on the bill.

Booked as delivered is an answer that was sent whole; as undelivered an answer that was made and did not arrive
whole. A stream that ends early is booked for its whole input and the share of the output that was sent.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from simulated.behaviour import Behaviour, Fault
from simulated.billing import Tokens
from simulated.instance import Instance
from simulated.prompt import Answer, Prompt
from simulated.wire import DONE, JSON, Wire, scripted

_LONGEST_HANG_S = 900.0
_EVENTS = "text/event-stream"
_HTML = b"<!doctype html><title>Sign in</title><p>Please sign in to use this network.\n"


@dataclass(slots=True)
class Exchange:
    """One request on its way to an answer. `broken` says that the simulator itself cut the connection."""

    request: web.Request
    instance: Instance
    wire: Wire
    behaviour: Behaviour
    serial: int
    broken: bool = False

    @property
    def request_id(self) -> str:
        return f"req_sim_{self.serial:06d}"

    def headers(self) -> dict[str, str]:
        return {self.wire.request_id_header: self.request_id, **self.behaviour.headers}


async def send_body(
    exchange: Exchange, status: int, body: bytes, content_type: str = JSON, retry_after: str = ""
) -> web.StreamResponse:
    """A whole answer with its length."""
    headers = exchange.headers()
    if retry_after:
        headers["retry-after"] = retry_after
    headers.setdefault("content-type", content_type)
    response = web.Response(status=status, body=body, headers=headers)
    exchange.instance.counts.status(status)
    await response.prepare(exchange.request)
    await response.write_eof()
    return response


async def send_error(exchange: Exchange, status: int) -> web.StreamResponse:
    """The vendor's error object; a 429 says Retry-After."""
    behaviour = exchange.behaviour
    retry_after = exchange.wire.retry_after(status) if behaviour.retry_after is None else behaviour.retry_after
    body = exchange.wire.error(status, behaviour, exchange.request_id)
    return await send_body(exchange, status, body, exchange.wire.media_type(status), retry_after)


async def send_without_answer(exchange: Exchange) -> web.StreamResponse:
    """The faults that happen before any work is done."""
    fault = exchange.behaviour.fault
    if fault is Fault.HANG:
        await hang(exchange)
    if fault is Fault.RESET:
        await reset(exchange)
    if fault is Fault.WRONG_CONTENT_TYPE:
        return await send_body(exchange, 200, _HTML, "text/html; charset=utf-8")
    return await send_body(exchange, 200, exchange.wire.error(500, exchange.behaviour, exchange.request_id))


async def hang(exchange: Exchange) -> None:
    """Wait until the client leaves (which cancels this task); after 15 minutes, reset."""
    await asyncio.sleep(_LONGEST_HANG_S)
    await reset(exchange)


async def reset(exchange: Exchange) -> None:
    """Close with a TCP reset; losing the connection cancels this task."""
    exchange.broken = True
    transport = exchange.request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    await asyncio.sleep(_LONGEST_HANG_S)


_ENDINGS: dict[Fault, Callable[[Exchange], Awaitable[None]]] = {
    Fault.HANG_MID_BODY: hang,
    Fault.RESET_MID_BODY: reset,
}


async def send_plain(exchange: Exchange, answer: Answer, model: str) -> web.StreamResponse:
    """A JSON answer, whole or as the fault leaves it."""
    behaviour, instance = exchange.behaviour, exchange.instance
    script = behaviour.script
    body = exchange.wire.body(answer, behaviour) if script is None else "".join(script).encode()
    if behaviour.fault is not None:
        instance.billed_undelivered.add(model, answer.tokens)
        return await _send_spoilt(exchange, body)
    # Booked before the last byte leaves, so that a client that has its answer finds it on the bill.
    instance.billed.add(model, answer.tokens)
    instance.counts.answered += 1
    try:
        return await send_body(exchange, 200, body)
    except (asyncio.CancelledError, ConnectionError):
        _undeliver(instance, model, answer.tokens)
        raise


def _undeliver(instance: Instance, model: str, tokens: Tokens) -> None:
    instance.counts.answered -= 1
    instance.billed.remove(model, tokens)
    instance.billed_undelivered.add(model, tokens)


async def _send_spoilt(exchange: Exchange, body: bytes) -> web.StreamResponse:
    fault = exchange.behaviour.fault
    cut = exchange.behaviour.cut_after
    half = body[: len(body) // 2 if cut is None else cut]
    if fault not in _ENDINGS:
        return await send_body(exchange, 200, b"" if fault is Fault.EMPTY_BODY else half)
    response = web.StreamResponse(headers=exchange.headers() | {"content-type": JSON})
    response.content_length = len(body)
    exchange.instance.counts.status(200)
    await response.prepare(exchange.request)
    await response.write(half)
    await _ENDINGS[fault](exchange)
    return response


async def send_stream(exchange: Exchange, answer: Answer, prompt: Prompt) -> web.StreamResponse:
    """An SSE answer, whole or as the fault leaves it."""
    return await _Stream(exchange, answer, prompt).send()


class _Stream:
    def __init__(self, exchange: Exchange, answer: Answer, prompt: Prompt) -> None:
        self._exchange = exchange
        self._answer = answer
        self._model = prompt.model
        script = exchange.behaviour.script
        made = exchange.wire.events(answer, prompt, exchange.behaviour) if script is None else scripted(script)
        self._events = made
        self._sent = 0
        self._booked = False
        headers = exchange.headers() | {"content-type": _EVENTS, "cache-control": "no-cache"}
        self._response = web.StreamResponse(headers=headers)

    async def send(self) -> web.StreamResponse:
        self._exchange.instance.counts.status(200)
        complete = False
        try:
            await self._response.prepare(self._exchange.request)
            if self._exchange.behaviour.fault is None:
                await self._whole()
            else:
                await self._spoilt(self._exchange.behaviour.fault)
            await self._response.write_eof()
            complete = True
        finally:
            if not (complete and self._booked):
                self._book_undelivered()
        return self._response

    async def _whole(self) -> None:
        for event in self._events.head:
            await self._write(event)
        for event in self._events.middle:
            await asyncio.sleep(self._exchange.behaviour.chunk_delay_s)
            await self._write(event)
            self._sent += 1
        self._exchange.instance.billed.add(self._model, self._answer.tokens)
        self._exchange.instance.counts.answered += 1
        self._booked = True
        for event in self._events.tail:
            await self._write(event)

    async def _spoilt(self, fault: Fault) -> None:
        """Send a part, by default half of the events, and then what the fault says. Never the tail."""
        if fault is not Fault.EMPTY_BODY:
            cut = self._exchange.behaviour.cut_after
            part = self._events.middle[: len(self._events.middle) // 2 if cut is None else cut]
            for event in self._events.head:
                await self._write(event)
            for event in part:
                await asyncio.sleep(self._exchange.behaviour.chunk_delay_s)
                await self._write(event)
                self._sent += 1
        if fault is Fault.MALFORMED_JSON:
            broken = (self._events.middle or self._events.head)[0]
            await self._write(broken[: len(broken) // 2] + b"\n\n")
        if fault is Fault.BARE_DONE:
            await self._write(DONE)
        if fault is Fault.STREAM_ERROR:
            await self._write(self._exchange.wire.stream_error(self._exchange.behaviour, self._exchange.request_id))
        if fault in _ENDINGS:
            await _ENDINGS[fault](self._exchange)

    async def _write(self, event: bytes) -> None:
        counts = self._exchange.instance.counts
        try:
            await self._response.write(event)
        except ConnectionError:
            counts.chunks_after_abort += 1
            raise
        counts.chunks_sent += 1

    def _book_undelivered(self) -> None:
        instance, whole = self._exchange.instance, self._answer.tokens
        if self._booked:
            _undeliver(instance, self._model, whole)
        else:
            instance.billed_undelivered.add(self._model, whole.part(self._sent, len(self._events.middle)))
