"""Kimi K2, and every other endpoint in OpenAI's style, through the `openai` SDK. Importing this imports the SDK.

The SDK's own `post` is used in place of `chat.completions.create`: it takes the body as bytes and leaves the answer
unread, which halves the processor time and lets us bound what we read.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

import aiohttp
import httpx2
import openai

from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.domain.messages import Answer, Call
from cortexd.errors import ProviderError
from cortexd.providers.failures import map_exceptions
from cortexd.providers.openai.answer import read_answer
from cortexd.providers.openai.request import request_body
from cortexd.providers.openai.stream import ChunkCollector
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

_PATH = "/chat/completions"
_V1 = "/v1"
_LOOK_S = 5.0
_ABSENT = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
_LACKS_V1 = "; the endpoint answers below /v1: add /v1 to providers.{name}.base_url"
_ERRORS = {
    openai.APIStatusError: lambda error: from_response(error.response),
    openai.APIConnectionError: from_connection,
    httpx2.HTTPError: from_connection,
    aiohttp.ClientError: from_connection,
    RuntimeError: from_connection,  # closed between two steps of this attempt; the SDK lets it through
}
_FORMAT = Format(read_answer, ChunkCollector, _ERRORS)


class OpenAIApi:
    """One endpoint with its connections. Building it takes 30 ms and belongs off the event loop."""

    def __init__(self, settings: ProviderSettings, network: NetworkSettings, max_answer_bytes: int) -> None:
        self._settings = settings
        self._max_answer_bytes = max_answer_bytes
        self._refusals = Refusals(settings.name, local=settings.local)
        self._found_at_v1: bool | None = None
        self._http = http_client(openai.DefaultAioHttpClient, settings, network)
        self._client = make_client(openai.AsyncOpenAI, settings, self._http, timeouts(settings))
        self._address = address(self._client, _PATH)
        silence_sdk_logs()

    async def attempt(self, call: Call, reader: Reader) -> Answer:
        """One request. Raises ProviderError and what the listener raises; cancelling it closes the connection."""
        try:
            return await self._ask(call, reader)
        except ProviderError as error:
            if error.status == HTTPStatus.NOT_FOUND and await self._lacks_v1():
                error.message += _LACKS_V1.format(name=self._settings.name)
            raise

    async def _ask(self, call: Call, reader: Reader) -> Answer:
        with map_exceptions(_ERRORS):
            request, stream = await ask(
                self._refusals,
                call.model,
                lambda quirks: request_body(call, quirks, stream=streamed(quirks, heard=reader.heard)),
                lambda request: self._post(reader, request),
                openai.APIStatusError,
            )
        reader.own_call = request.own_call
        answer = await receive(stream, call, _FORMAT, self._max_answer_bytes, reader)
        if request.streamed and not (reader.heard or reader.counted):
            self._refusals.uncounted(call.model)
        return request.own_answer(answer)

    async def _post(self, reader: Reader, request: RequestBody) -> openai.AsyncStream[object]:
        reader.asks(streamed=request.streamed)
        return await self._client.post(
            self._address,
            cast_to=object,
            content=request.content,
            options={"headers": {**REQUEST_HEADERS, **request.headers}},
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )

    async def _lacks_v1(self) -> bool:
        """Whether the API is one level below the configured address; looked for once, by a body that costs nothing."""
        if self._found_at_v1 is None and not self._client.base_url.path.endswith(f"{_V1}/"):
            with suppress(httpx2.HTTPError, aiohttp.ClientError, TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    here, below = [await self._status(path) for path in (_PATH, _V1 + _PATH)]
                    self._found_at_v1 = here == HTTPStatus.NOT_FOUND and below not in _ABSENT
        return bool(self._found_at_v1)

    async def _status(self, path: str) -> int:
        headers = {**REQUEST_HEADERS, **self._client.auth_headers}
        return (
            await self._http.post(self._client.base_url.join(f".{path}"), content=b"{}", headers=headers)
        ).status_code

    async def aclose(self) -> None:
        await self._client.close()
