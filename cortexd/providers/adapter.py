"""The daemon's side of every API kind: one attempt, as the vendor's SDK would send it.

Importing this imports no SDK; building an SdkApi does (late_import.py), in loading.py's thread. Its client is asked
once for address and headers, and not for `messages.create` and its like: bodies are bytes here, and answers are read by
us, which takes a third of the processor time and lets us bound what we read.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

import aiohttp

from cortexd.catalog import builtin_catalog
from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.domain.messages import Answer, Call
from cortexd.domain.quirks import Quirk, Quirks
from cortexd.domain.raw import RawCall
from cortexd.errors import Failure, ProviderError
from cortexd.providers.failures import Errors, map_exceptions
from cortexd.providers.kinds import api_kind
from cortexd.providers.late_import import import_client
from cortexd.providers.misplaced import Lookout
from cortexd.providers.posting import Posting, Refused, Unreached
from cortexd.providers.reader import Reader
from cortexd.providers.receiving import Format, receive
from cortexd.providers.refusals import Refusals, ask, refused, streamed
from cortexd.providers.request_body import RequestBody
from cortexd.providers.transport import from_connection, from_response, silence_sdk_logs
from cortexd.providers.vendor_request import vendor_request

_ABOUT_THE_BODY = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)


class SdkApi:
    """One endpoint with its connections. Building it takes 10 ms beside the import, and belongs off the event loop."""

    def __init__(self, settings: ProviderSettings, network: NetworkSettings, max_answer_bytes: int) -> None:
        self._kind = api_kind(settings.api)
        self._max_answer_bytes = max_answer_bytes
        catalog = builtin_catalog().with_settings({settings.name: settings})
        self._refusals = Refusals(settings.name, catalog, local=settings.local)
        self._format = Format(self._kind.read, self._kind.collector, _errors())
        request = vendor_request(import_client(self._kind.sdk), settings)
        self._posting = Posting(request, settings, network)
        self._lookout = Lookout(settings.name, request.base, self._posting, self._kind)
        silence_sdk_logs()

    async def attempt(self, call: Call, reader: Reader) -> Answer:
        """One request. Raises ProviderError and what the listener raises; cancelling it closes the connection."""
        try:
            return await self._ask(call, reader)
        except ProviderError as error:
            if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
                error.message += await self._lookout.advice()
            raise

    async def _ask(self, call: Call, reader: Reader) -> Answer:
        if call.raw is None:
            return await self._ask_structured(call, reader)
        try:
            return await self._ask_raw(call, call.raw, reader)
        except ProviderError as error:
            if not (call.raw.translatable and _refuses(error)):
                raise
        return await self._ask_structured(replace(call, raw=None), reader)

    async def _ask_structured(self, call: Call, reader: Reader) -> Answer:
        with map_exceptions(self._format.errors):
            request, stream = await ask(
                self._refusals,
                call.model,
                lambda quirks: self._kind.request(call, quirks, stream=streamed(quirks, heard=reader.heard)),
                lambda request: self._post(reader, request),
                Refused,
            )
        reader.own_call = request.own_call
        answer = await receive(stream, call, self._format, self._max_answer_bytes, reader)
        if request.streamed and not (reader.heard or reader.counted):
            self._refusals.uncounted(call.model)
        return request.own_answer(answer)

    async def _ask_raw(self, call: Call, raw: RawCall, reader: Reader) -> Answer:
        """The body as it is, whatever is known of the model, but for what we asked beside it. Nothing is learned from
        bodies that anybody may write."""
        reader.asks(streamed=raw.streamed)
        with map_exceptions(self._format.errors):
            stream = await self._send_raw(raw, self._refusals.quirks(call.model))
        return await receive(stream, call, self._format, self._max_answer_bytes, reader)

    async def _send_raw(self, raw: RawCall, quirks: Quirks) -> aiohttp.ClientResponse:
        post = self._posting.post
        if raw.counted is None or Quirk.NO_STREAM_OPTIONS in quirks:
            return await post(raw.content, raw.headers)
        try:
            return await post(raw.counted(), raw.headers)
        except Refused as error:
            if refused(error.response.status_code, error.response.content) is not Quirk.NO_STREAM_OPTIONS:
                raise
        return await post(raw.content, raw.headers)

    async def _post(self, reader: Reader, request: RequestBody) -> aiohttp.ClientResponse:
        reader.asks(streamed=request.streamed)
        return await self._posting.post(request.content, request.headers)

    async def aclose(self) -> None:
        await self._posting.close()


def _refuses(error: ProviderError) -> bool:
    """Whether the body was not to the model's liking, which costs nothing: servers that speak one API differ in it."""
    return error.failure is Failure.REFUSED and error.status in _ABOUT_THE_BODY


def _errors() -> Errors:
    """The exceptions of an attempt."""
    return {
        Refused: lambda error: from_response(error.response),
        Unreached: from_connection,
        aiohttp.ClientError: from_connection,
        RuntimeError: from_connection,  # closed between two steps of this attempt
    }
