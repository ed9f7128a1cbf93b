"""Answers piece by piece. A provider that fails before its first piece is followed by the next; after that its error
is the consumer's. What a stream cost is booked when it ends, and as far as it is known when its consumer leaves."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from typing import Any

from cortexd.library.in_process.clients import Clients
from cortexd.library.in_process.reader import unstreamed
from cortexd.library.in_process.run import Exchange, Run
from cortexd.library.limiter import Limiter
from cortexd.library.text_streams import Outcome


def pieces(run: Run, clients: Clients, limiter: Limiter, outcome: Outcome) -> Generator[str, None, None]:
    """The texts of the first provider that answers."""
    for exchange in run.exchanges():
        with limiter.slot(), exchange:
            yield from told(exchange, clients.blocking(exchange.candidate.provider, exchange.key))
    outcome.response = run.response


async def async_pieces(run: Run, clients: Clients, limiter: Limiter, outcome: Outcome) -> AsyncGenerator[str, None]:
    """As `pieces`."""
    for exchange in run.exchanges():
        async with limiter.async_slot():
            with exchange:
                client = await clients.asynchronous(exchange.candidate.provider, exchange.key)
                async with aclosing(told_async(exchange, client)) as texts:
                    async for piece in texts:
                        yield piece
    outcome.response = run.response


def told(exchange: Exchange, client: Any) -> Generator[str, None, None]:
    """Ask once; the texts of the answer, one where it came whole."""
    given = _ask(exchange, client)
    if exchange.is_whole(given):
        yield from exchange.took_whole(given)
    elif (response := unstreamed(given)) is not None:
        with closing(response):
            yield from exchange.took_body(response.read())
    else:
        yield from _read(exchange, given)


async def told_async(exchange: Exchange, client: Any) -> AsyncGenerator[str, None]:
    """As `told`."""
    given = await _ask_async(exchange, client)
    if exchange.is_whole(given):
        texts = exchange.took_whole(given)
    elif (response := unstreamed(given)) is not None:
        async with aclosing(response):
            texts = exchange.took_body(await response.aread())
    else:
        async with aclosing(_read_async(exchange, given)) as arriving:
            async for piece in arriving:
                yield piece
        return
    for piece in texts:
        yield piece


def _ask(exchange: Exchange, client: Any) -> Any:
    """What the SDK's method gives; asked again without what the model has refused."""
    while True:
        try:
            return exchange.create(client)
        except Exception as error:
            if not exchange.adapts(error):
                raise


async def _ask_async(exchange: Exchange, client: Any) -> Any:
    """As `_ask`."""
    while True:
        try:
            return await awaited(exchange.create(client))
        except Exception as error:
            if not exchange.adapts(error):
                raise


def _read(exchange: Exchange, events: Any) -> Generator[str, None, None]:
    reader = exchange.reader()
    whole = False
    try:
        for piece in reader.pieces(events):
            if text := exchange.passed(piece):
                yield text
        whole = True
    finally:
        close(events)
        if not whole:
            exchange.cut(reader.usage)
    rest = exchange.rest()
    exchange.answered(reader.answer(events))
    if rest:
        yield rest


async def _read_async(exchange: Exchange, events: Any) -> AsyncGenerator[str, None]:
    reader = exchange.reader()
    whole = False
    try:
        async with aclosing(reader.async_pieces(events)) as arriving:
            async for piece in arriving:
                if text := exchange.passed(piece):
                    yield text
        whole = True
    finally:
        await awaited(close(events))
        if not whole:
            exchange.cut(reader.usage)
    rest = exchange.rest()
    exchange.answered(reader.answer(events))
    if rest:
        yield rest


def close(events: Any) -> Any:
    """Close an SDK's stream, or a fake's iterator where it can be closed. The result may have to be awaited."""
    closing_method = getattr(events, "close", None) or getattr(events, "aclose", None)
    return closing_method() if callable(closing_method) else None


async def awaited(value: Any) -> Any:
    """`value`, awaited where it can be: a fake's method need not be asynchronous."""
    return await value if inspect.isawaitable(value) else value
