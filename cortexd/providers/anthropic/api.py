"""Claude through the `anthropic` SDK. Importing this imports the SDK (2 s, 75 MB): see loading.py.

The SDK's own `post` is used in place of `messages.create`: it takes the body as bytes and leaves the answer unread,
which costs less and lets us bound what we read.
"""

from __future__ import annotations

import aiohttp
import anthropic
import httpx2

from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.domain.messages import Answer, Call
from cortexd.providers.anthropic.answer import read_answer
from cortexd.providers.anthropic.request import request_body
from cortexd.providers.anthropic.stream import EventCollector
from cortexd.providers.failures import map_exceptions
from cortexd.providers.reader import Reader
from cortexd.providers.receiving import Format, receive
from cortexd.providers.refusals import Refusals, ask, streamed
from cortexd.providers.request_body import RequestBody
from cortexd.providers.transport import (
    REQUEST_HEADERS,
    from_connection,
    from_response,
    http_client,
    silence_sdk_logs,
    timeouts,
)
from cortexd.providers.vendor_clients import address, make_client

_PATH = "/v1/messages"
_ERRORS = {
    anthropic.APIStatusError: lambda error: from_response(error.response),
    anthropic.APIConnectionError: from_connection,
    httpx2.HTTPError: from_connection,
    aiohttp.ClientError: from_connection,
    RuntimeError: from_connection,  # aiohttp's word for a connection that was closed between two reads
}
_FORMAT = Format(read_answer, EventCollector, _ERRORS)


class AnthropicApi:
    """One endpoint with its connections. Building it takes 30 ms and belongs off the event loop."""

    def __init__(self, settings: ProviderSettings, network: NetworkSettings, max_answer_bytes: int) -> None:
        self._max_answer_bytes = max_answer_bytes
        self._refusals = Refusals(settings.name, local=settings.local)
        http = http_client(anthropic.DefaultAioHttpClient, settings, network)
        self._client = make_client(anthropic.AsyncAnthropic, settings, http, timeouts(settings))
        self._address = address(self._client, _PATH)
        silence_sdk_logs()

    async def attempt(self, call: Call, reader: Reader) -> Answer:
        """One request. Raises ProviderError and what the listener raises; cancelling it closes the connection."""
        with map_exceptions(_ERRORS):
            request, stream = await ask(
                self._refusals,
                call.model,
                lambda quirks: request_body(call, quirks, stream=streamed(quirks, heard=reader.heard)),
                lambda request: self._post(reader, request),
                anthropic.APIStatusError,
            )
        reader.own_call = request.own_call
        answer = await receive(stream, call, _FORMAT, self._max_answer_bytes, reader)
        if request.streamed and not (reader.heard or reader.counted):
            self._refusals.uncounted(call.model)
        return request.own_answer(answer)

    async def _post(self, reader: Reader, request: RequestBody) -> anthropic.AsyncStream[object]:
        reader.asks(streamed=request.streamed)
        return await self._client.post(
            self._address,
            cast_to=object,
            content=request.content,
            options={"headers": {**REQUEST_HEADERS, **request.headers}},
            stream=True,
            stream_cls=anthropic.AsyncStream[object],
        )

    async def aclose(self) -> None:
        await self._client.close()
