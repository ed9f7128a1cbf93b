"""What is done to aiohttp's connections from outside: its names are held here, so that an update cannot undo it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler

from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.providers.connections import Connections
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
    application = web.Application()
    application.router.add_get("/", endpoint)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    read = await get(f"http://127.0.0.1:{port}/")
    await runner.cleanup()
    assert read == b"data: {}\n\n" * EVENTS
    assert calls.count(0) == 0
