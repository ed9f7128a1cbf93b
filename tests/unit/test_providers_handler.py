"""What is done to aiohttp's connections from outside: its names are held here, so that an update cannot undo it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler

from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.providers.connections import Arriving, Connections
from cortexd.providers.transport import http_client

EVENTS = 200
SETTINGS = ProviderSettings("p", "openai", "http://127.0.0.1", "m")


async def endpoint(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for _ in range(EVENTS):
        await answer.write(b"data: {}\n\n")
    await answer.write_eof()
    return answer


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """The endpoint's address."""
    application = web.Application()
    application.router.add_get("/", endpoint)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def by_sdk(kind: Any, url: str) -> bytes:
    async with http_client(kind, SETTINGS, NetworkSettings()) as client:
        return bytes((await client.get(url)).content)


async def by_aiohttp(url: str) -> bytes:
    connections = Connections(1, None, {}, {"timeout": aiohttp.ClientTimeout()})
    read = b"".join([chunk async for chunk in (await connections.request("GET", url)).content.iter_any()])
    await connections.close()
    return read


@pytest.mark.parametrize(
    "get",
    [partial(by_sdk, anthropic.DefaultAioHttpClient), partial(by_sdk, openai.DefaultAioHttpClient), by_aiohttp],
    ids=["anthropic", "openai", "aiohttp"],
)
async def test_a_chunk_that_is_read_costs_no_parsing(
    get: Callable[[str], Awaitable[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parser is called for what has come, and not once more for each chunk that somebody takes."""
    calls: list[int] = []
    real = ResponseHandler.data_received

    def noted(handler: ResponseHandler, data: bytes) -> None:
        calls.append(len(data))
        real(handler, data)

    monkeypatch.setattr(ResponseHandler, "data_received", noted)
    async with served() as url:
        read = await get(url)
    assert read == b"data: {}\n\n" * EVENTS
    assert calls.count(0) == 0


async def test_what_has_come_is_taken_as_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gets it: aiohttp takes it chunk by chunk, and joins those."""
    taken: list[bytes] = []
    real = aiohttp.StreamReader._read_nowait_chunk

    def noted(content: aiohttp.StreamReader, most: int) -> bytes:
        taken.append(real(content, most))
        return taken[-1]

    monkeypatch.setattr(aiohttp.StreamReader, "_read_nowait_chunk", noted)
    async with served() as url:
        connections = Connections(1, None, {}, {"timeout": aiohttp.ClientTimeout()})
        content = (await connections.request("GET", url)).content
        async with asyncio.timeout(10):
            await content.wait_eof()
        read = [piece async for piece in Arriving(content)]
        await connections.close()
    assert read == taken == [b"data: {}\n\n" * EVENTS]
