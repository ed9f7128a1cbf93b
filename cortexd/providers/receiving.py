"""A response, an event stream or whole, read to its Answer while its Reader passes on what has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import aiohttp

from cortexd.domain.messages import Answer, Call
from cortexd.providers.collecting import Collector
from cortexd.providers.connections import Arriving
from cortexd.providers.failures import Errors, malformed, map_exceptions
from cortexd.providers.finishing import EmptyAnswer
from cortexd.providers.framing import is_stream, read_body, significant
from cortexd.providers.raw import RawStream, whole_body
from cortexd.providers.reader import Reader
from cortexd.providers.sse import EventSplitter
from cortexd.providers.transport import read_bounded
from cortexd.providers.usage import believable_prompt

# After its last event a stream has only its end to come. Read too, it leaves a connection that can be used again.
_END_S = 0.1
_END_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Format:
    """How a vendor's answers are read, and its SDK's exceptions.

    `whole`: body, asked model and the conversation's tool call ids to Answer; `collector`: the same of a stream, with
    the most bytes of output.
    """

    whole: Callable[[bytes, str, Collection[str]], Answer]
    collector: Callable[[str, int, Collection[str]], Collector]
    errors: Errors


async def receive(response: aiohttp.ClientResponse, call: Call, form: Format, max_bytes: int, reader: Reader) -> Answer:
    """Read the answer to `call`, an event stream or whole, and close its connection.

    Raises ProviderError, and what the listener raises as it is.
    """
    prompt_chars = sum(len(message.text()) for message in call.messages)
    try:
        with map_exceptions(form.errors, unless=lambda: reader.interrupted):
            answer = await _read(response, call, form, max_bytes, reader)
        if call.raw is not None:  # nobody knows here what is in its prompt
            return answer
        usage = believable_prompt(answer.usage, prompt_chars)
        return answer if usage is answer.usage else replace(answer, usage=usage)
    except EmptyAnswer as error:
        error.usage = error.usage if call.raw is not None else believable_prompt(error.usage, prompt_chars)
        raise
    finally:
        with suppress(*form.errors):
            response.release()
            await response.wait_for_close()


async def _read(response: aiohttp.ClientResponse, call: Call, form: Format, max_bytes: int, reader: Reader) -> Answer:
    reader.arrived()
    taken = {past.id for message in call.messages for past in message.tool_calls}
    collector = partial(form.collector, call.model, max_bytes, taken)
    content_type = response.headers.get("content-type", "")
    chunks = Arriving(response.content)
    start, streamed = await _start(chunks, content_type, max_bytes, reader)
    if streamed:
        raw = RawStream(call.raw) if call.raw is not None and call.raw.streamed else None
        answer = await _collect(start, chunks, collector(), reader, raw)
        rest = b"" if response.content.is_eof() else await _read_to_end(chunks, form.errors)
        return answer if raw is None else await _told_to_end(answer, rest, raw, reader)
    reader.asks(streamed=False)
    body = await read_bounded(_after(start, chunks), max_bytes, reader.arrived)
    answer = _answer_in(
        body,
        call,
        lambda: read_body(body, content_type, lambda one: form.whole(one, call.model, taken), collector),
    )
    await reader.tell_whole(answer)
    return answer


def _answer_in(body: bytes, call: Call, read: Callable[[], Answer]) -> Answer:
    """What `read` makes of a whole body, with that itself where the call is as raw. One in which nothing has words here
    is an answer all the same then: it may hold what only its own API has."""
    if call.raw is None or call.raw.streamed:
        return read()
    own = whole_body(body)
    try:
        return replace(read(), raw=own)
    except EmptyAnswer as error:
        if own is None:
            raise
        return Answer("", call.model, error.usage, raw=own)


async def _start(
    chunks: AsyncIterator[bytes], content_type: str, max_bytes: int, reader: Reader
) -> tuple[bytes, bool | None]:
    """As much of the body as tells what it is, and whether it is an event stream."""
    start, size = b"", 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise malformed(f"the answer is larger than {max_bytes} bytes")
        start = significant(start + chunk)
        if start:  # blank lines alone are silence
            reader.arrived()
        if (streamed := is_stream(start, content_type)) is not None:
            return start, streamed
    return start, is_stream(start, content_type, ended=True)


async def _after(start: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield start
    async for chunk in chunks:
        yield chunk


async def _collect(
    start: bytes, chunks: AsyncIterator[bytes], collector: Collector, reader: Reader, raw: RawStream | None
) -> Answer:
    events = EventSplitter()
    try:
        await _take(start, events, collector, reader, raw)
        if not collector.complete:
            async for chunk in chunks:
                await _take(chunk, events, collector, reader, raw)
                if collector.complete:
                    break
        _end(collector, raw)
    finally:
        reader.note(collector)
    await _tell(collector, reader, raw, last=True)
    collector.first_ms = reader.time_to_first_token_ms
    return collector.answer()


def _end(collector: Collector, raw: RawStream | None) -> None:
    """As the collector ends; a raw answer may hold nothing that has words here."""
    try:
        collector.end()
    except EmptyAnswer:
        if raw is None:
            raise


async def _take(
    chunk: bytes, events: EventSplitter, collector: Collector, reader: Reader, raw: RawStream | None
) -> None:
    """Read what has come, and let it be heard unless it is the last: then the end is looked at first."""
    if collector.read(chunk, events):
        reader.arrived()
    if raw is not None:
        raw.add(chunk)
    if not collector.complete:
        reader.note(collector)
        await _tell(collector, reader, raw)


async def _tell(collector: Collector, reader: Reader, raw: RawStream | None, *, last: bool = False) -> None:
    if raw is None:
        await reader.tell(collector.take())
    else:
        await reader.tell_raw(collector.take(), raw.take(last=last))


async def _told_to_end(answer: Answer, rest: bytes, raw: RawStream, reader: Reader) -> Answer:
    """With what has come behind the end: comments, or an event that says the end once more."""
    raw.keep(rest)
    await reader.tell_raw((), rest)
    return replace(answer, raw=raw.kept)


async def _read_to_end(chunks: AsyncIterator[bytes], errors: Errors) -> bytes:
    rest = b""
    with suppress(TimeoutError, *errors):
        async with asyncio.timeout(_END_S):
            async for chunk in chunks:
                if len(rest) + len(chunk) > _END_BYTES:
                    break
                rest += chunk
    return rest
