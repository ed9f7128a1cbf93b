"""Answers piece by piece. A provider that fails before its first piece is followed by the next; after that its error
is the consumer's. What a stream cost is booked when it ends, and as far as it is known when its consumer leaves."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import Any

from cortexd.library.in_process.clients import Clients
from cortexd.library.in_process.run import Attempt, Run
from cortexd.library.limiter import Limiter
from cortexd.library.text_streams import Outcome
from cortexd.library.types import LLMResponse


def pieces(run: Run, clients: Clients, limiter: Limiter, outcome: Outcome) -> Generator[str, None, None]:
    """The texts of the first provider that answers."""
    for candidate in run.plan.candidates:
        with limiter.slot():
            attempt = run.attempt(candidate)
            try:
                outcome.response = yield from _told(run, attempt, clients.blocking(candidate.provider))
            except Exception as error:
                if not run.failed(attempt, error):
                    raise
            else:
                return
    raise run.all_failed()


async def async_pieces(run: Run, clients: Clients, limiter: Limiter, outcome: Outcome) -> AsyncGenerator[str, None]:
    """As `pieces`."""
    for candidate in run.plan.candidates:
        async with limiter.async_slot():
            attempt = run.attempt(candidate)
            try:
                client = await clients.asynchronous(candidate.provider)
                async with aclosing(_told_async(run, attempt, client, outcome)) as told:
                    async for piece in told:
                        yield piece
            except Exception as error:
                if not run.failed(attempt, error):
                    raise
            else:
                return
    raise run.all_failed()


def _told(run: Run, attempt: Attempt, client: Any) -> Generator[str, None, LLMResponse]:
    reader = attempt.reader(run.max_answer_bytes)
    events = attempt.create(client)
    whole = False
    try:
        for event in events:
            if piece := reader.feed(event):
                attempt.given = True
                yield piece
        whole = True
    finally:
        close(events)
        if attempt.given and not whole:
            run.cut(attempt, reader.usage_so_far())
    return run.answered(attempt, reader.answer())


async def _told_async(run: Run, attempt: Attempt, client: Any, outcome: Outcome) -> AsyncGenerator[str, None]:
    reader = attempt.reader(run.max_answer_bytes)
    events = await awaited(attempt.create(client))
    whole = False
    try:
        async with aclosing(each(events)) as arriving:
            async for event in arriving:
                if piece := reader.feed(event):
                    attempt.given = True
                    yield piece
        whole = True
    finally:
        await awaited(close(events))
        if attempt.given and not whole:
            run.cut(attempt, reader.usage_so_far())
    outcome.response = run.answered(attempt, reader.answer())


def close(events: Any) -> Any:
    """Close an SDK's stream, or a fake's iterator where it can be closed. The result may have to be awaited."""
    closing = getattr(events, "close", None) or getattr(events, "aclose", None)
    return closing() if callable(closing) else None


async def awaited(value: Any) -> Any:
    """`value`, awaited where it can be: a fake's method need not be asynchronous."""
    return await value if inspect.isawaitable(value) else value


async def each(events: Any) -> AsyncGenerator[Any, None]:
    """The items of an asynchronous iterable, or of a plain one in its place."""
    if hasattr(events, "__aiter__"):
        async for event in events:
            yield event
    else:
        for event in events:
            yield event
