"""A response, an event stream or whole, read to its Answer while its Reader passes on what has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import httpx2

from cortexd.domain.messages import Answer, Call
from cortexd.providers.collecting import Collector
from cortexd.providers.failures import Errors, map_exceptions
from cortexd.providers.reader import Reader
from cortexd.providers.sse import EventSplitter
from cortexd.providers.transport import arriving, read_bounded

_EVENTS = "text/event-stream"
# After its last event a stream has only its end to come. Read too, it leaves a connection that can be used again.
_END_S = 0.1
_END_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Format:
    """How a vendor's answers are read, and its SDK's exceptions. `whole`: body and asked model to Answer."""

    whole: Callable[[bytes, str], Answer]
    collector: Callable[[str, int], Collector]
    errors: Errors


class Stream(Protocol):
    """What the SDKs give: a response whose body is unread."""

    response: httpx2.Response

    async def close(self) -> None: ...


async def receive(stream: Stream, call: Call, form: Format, max_bytes: int, reader: Reader) -> Answer:
    """Read the answer to `call`, an event stream or whole, and close the stream.

    Raises ProviderError, and what the listener raises as it is.
    """
    try:
        with map_exceptions(form.errors, unless=lambda: reader.interrupted):
            return await _read(stream.response, call, form, max_bytes, reader)
    finally:
        with suppress(*form.errors):
            await stream.close()


async def _read(response: httpx2.Response, call: Call, form: Format, max_bytes: int, reader: Reader) -> Answer:
    reader.arrived()
    async with arriving(response) as chunks:
        if response.headers.get("content-type", "").lower().startswith(_EVENTS):
            return await _collect(chunks, form, form.collector(call.model, max_bytes), reader)
        body = await read_bounded(chunks, max_bytes, reader.arrived)
    answer = form.whole(body, call.model)
    await reader.tell_whole(answer)
    return answer


async def _collect(chunks: AsyncIterator[bytes], form: Format, collector: Collector, reader: Reader) -> Answer:
    events = EventSplitter()
    try:
        async for chunk in chunks:
            reader.arrived()
            for data in events.feed(chunk):
                collector.feed(data)
            if collector.complete:
                break
            reader.note(collector)
            await reader.tell(collector.take())
        collector.end()
    finally:
        reader.note(collector)
    await reader.tell(collector.take())
    await _read_to_end(chunks, form.errors)
    return replace(collector.answer(), time_to_first_token_ms=reader.time_to_first_token_ms)


async def _read_to_end(chunks: AsyncIterator[bytes], errors: Errors) -> None:
    left = _END_BYTES
    with suppress(TimeoutError, *errors):
        async with asyncio.timeout(_END_S):
            async for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    return
