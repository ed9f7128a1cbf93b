"""What is done to aiohttp's connections from outside: its names are held here, so that an update cannot undo it."""

from __future__ import annotations

import anthropic
import httpx2
import openai
import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler

from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.providers.transport import http_client

EVENTS = 200


async def endpoint(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for _ in range(EVENTS):
        await answer.write(b"data: {}\n\n")
    await answer.write_eof()
    return answer


@pytest.mark.parametrize("kind", [anthropic.DefaultAioHttpClient, openai.DefaultAioHttpClient])
async def test_a_chunk_that_is_read_costs_no_parsing(
    kind: type[httpx2.AsyncClient], monkeypatch: pytest.MonkeyPatch
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
    client = http_client(kind, ProviderSettings("p", "openai", f"http://127.0.0.1:{port}", "m"), NetworkSettings())
    async with client:
        answer = await client.get(f"http://127.0.0.1:{port}/")
    await runner.cleanup()
    assert answer.content == b"data: {}\n\n" * EVENTS
    assert calls.count(0) == 0
