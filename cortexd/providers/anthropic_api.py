"""Claude through the `anthropic` SDK. Importing this imports the SDK (2 s, 75 MB): see loading.py.

The SDK's own `post` is used in place of `messages.create`: it takes the body as bytes and leaves the answer unread,
which costs less and lets us bound what we read.
"""

from __future__ import annotations

from dataclasses import replace

import aiohttp
import anthropic
import httpx2

from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.messages import Answer, Call
from cortexd.providers.anthropic_answer import StreamCollector, read_answer
from cortexd.providers.anthropic_request import request_body
from cortexd.providers.failures import map_exceptions
from cortexd.providers.listening import Listener
from cortexd.providers.sse import EventSplitter
from cortexd.providers.transport import (
    REQUEST_HEADERS,
    arriving,
    from_connection,
    from_response,
    http_client,
    read_bounded,
    silence_sdk_logs,
    timeouts,
)
from cortexd.providers.vendor_clients import make_client

_PATH = "/v1/messages"
_ERRORS = {
    anthropic.APIStatusError: lambda error: from_response(error.response),
    anthropic.APIConnectionError: from_connection,
    httpx2.HTTPError: from_connection,
    aiohttp.ClientError: from_connection,
}


class AnthropicApi:
    """One endpoint with its connections. Building it takes 30 ms and belongs off the event loop."""

    def __init__(self, settings: ProviderSettings, network: NetworkSettings, max_answer_bytes: int) -> None:
        self._max_answer_bytes = max_answer_bytes
        http = http_client(anthropic.DefaultAioHttpClient, settings, network)
        self._client = make_client(anthropic.AsyncAnthropic, settings, http, timeouts(settings))
        silence_sdk_logs()

    async def attempt(self, call: Call, listener: Listener | None = None) -> Answer:
        """One request. Raises ProviderError; cancelling it closes the connection."""
        request = request_body(call, anthropic.transform_schema)
        with map_exceptions(_ERRORS):
            stream = await self._client.post(
                _PATH,
                cast_to=object,
                content=request.content,
                options={"headers": REQUEST_HEADERS},
                stream=True,
                stream_cls=anthropic.AsyncStream[object],
            )
            async with stream:
                answer = await self._read(stream.response, call.model)
        return replace(answer, dropped_options=request.dropped_options)

    async def _read(self, response: httpx2.Response, model: str) -> Answer:
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            return await self._collect(response, model)
        return read_answer(await read_bounded(response, self._max_answer_bytes), model)

    async def _collect(self, response: httpx2.Response, model: str) -> Answer:
        collector = StreamCollector(model, self._max_answer_bytes)
        events = EventSplitter()
        async with arriving(response) as chunks:
            async for chunk in chunks:
                for data in events.feed(chunk):
                    collector.feed(data)
                if collector.complete:
                    break
        return collector.answer()

    async def aclose(self) -> None:
        await self._client.close()
