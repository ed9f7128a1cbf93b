"""Kept connections: given up before the server closes them, and what was sent on one too late is sent once more.

A server closes an idle connection at the very moment at which a request is on its way (RFC 9112, 9.3.1). That shows
as a connection that was used before and ends, within a moment and without a byte of answer. Nobody has worked on that
request for a bill: servers drop what arrives on a connection that they have closed, and one that had begun to answer
would have sent the head of its stream. A new connection that breaks, or one that breaks later, is no such case.
"""

from __future__ import annotations

import asyncio
import copy
import errno
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

import aiohttp
import httpx2
from aiohttp.client_proto import ResponseHandler

KEPT_S = 4.0  # uvicorn, llama.cpp and node close after five seconds
_MARGIN_S = 1.0
_LEAST_S, _MOST_S = 0.1, 60.0
_MOMENT_S = 1.0
_GONE = (errno.ECONNRESET, errno.EPIPE)
_TIMEOUT = re.compile(r"\btimeout\s*=\s*(\d{1,6})\b", re.IGNORECASE)
_CLEAN_END = aiohttp.ServerDisconnectedError().message  # any other says that a part of the answer had come

_reused_at: ContextVar[float | None] = ContextVar("reused_at", default=None)


class Connections:
    """Of one endpoint, at most `limit` at a time. Its sessions are made when first used, and belong to that event loop.

    `verify`: how TLS is checked, None for aiohttp's own way. `headers` go with each request, and `options` are further
    ones of aiohttp's `request`.
    """

    def __init__(
        self, limit: int, verify: ssl.SSLContext | None, headers: Mapping[str, str], options: Mapping[str, Any]
    ) -> None:
        self._make = partial(_session, limit, verify, headers=headers)
        self._options = options
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        self._closed = False

    async def request(self, method: str, url: str, **given: Any) -> aiohttp.ClientResponse:
        """The head of an answer. Raises what aiohttp raises, and RuntimeError once they are closed."""
        if self._kept is None or self._fresh is None:
            if self._closed:
                raise RuntimeError("the connections are closed")
            self._kept, self._fresh = self._make(keepalive_timeout=KEPT_S), self._make(force_close=True)
        _reused_at.set(None)
        try:
            response = await self._kept.request(method, url, allow_redirects=False, **self._options, **given)
        except aiohttp.ClientError as error:
            if not _closed_before(error):
                raise
            return await self._fresh.request(method, url, allow_redirects=False, **self._options, **given)
        _keep_as_said(self._kept, response.headers)
        return response

    async def close(self) -> None:
        self._closed = True
        for session in filter(None, (self._kept, self._fresh)):
            await session.close()


def keep_connections(client: httpx2.AsyncClient) -> None:
    """Let the client's transports behave so, where they are the SDKs' over aiohttp."""
    client._transport = _kept(client._transport)
    client._mounts = {pattern: made and _kept(made) for pattern, made in client._mounts.items()}


def _kept(transport: httpx2.AsyncBaseTransport) -> httpx2.AsyncBaseTransport:
    return Kept(transport) if hasattr(transport, "client") else transport


class Kept(httpx2.AsyncBaseTransport):
    """Over a transport of the SDKs, whose `client` makes the aiohttp session when it is first used."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner, self._fresh = cast("Any", inner), cast("Any", copy.copy(inner))
        make = partial(_session, self._inner.limits.max_connections or 0, self._inner.ssl_context)
        self._inner.client = lambda: make(keepalive_timeout=KEPT_S)
        self._fresh.client = lambda: make(force_close=True)

    async def handle_async_request(self, request: httpx2.Request) -> Any:  # an httpx2.Response
        _reused_at.set(None)
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.TransportError as error:
            if not _closed_before(error):
                raise
            return await self._fresh.handle_async_request(request)
        _keep_as_said(self._inner.client, response.headers)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()
        await self._fresh.aclose()


def _session(
    limit: int, verify: ssl.SSLContext | None, *, headers: Mapping[str, str] | None = None, **options: Any
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=limit, ssl=True if verify is None else verify, **options)
    handler: Any = partial(_Handler, loop=asyncio.get_running_loop())
    connector._factory = handler  # there is no other way; a test holds it
    # no store of cookies: one user's answer must not mark another's
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=headers)


def _keep_as_said(session: aiohttp.ClientSession, headers: Mapping[str, str]) -> None:
    kept_s = kept_seconds(headers.get("keep-alive", ""))
    if kept_s is not None:
        cast("Any", session.connector)._keepalive_timeout = kept_s  # there is no other way; a test holds it


class _Handler(ResponseHandler):
    """A connection that knows whether it was used before, and whose reading goes on only where it was stopped.

    aiohttp's lets its parser look for more after each chunk that is read, and a stream has one for each event.
    """

    _used = False

    def set_response_params(self, **given: Any) -> None:
        """Called as each request begins."""
        _reused_at.set(time.monotonic() if self._used else None)
        self._used = True
        super().set_response_params(**given)

    def resume_reading(self, *given: Any, **named: Any) -> None:
        if self._reading_paused:
            super().resume_reading(*given, **named)


class Arriving:
    """A body as it arrives. What has come already comes as one: a short answer's events are a chunk each, all in one
    packet, and aiohttp would take them one by one."""

    __slots__ = ("_content",)

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __aiter__(self) -> Arriving:
        return self

    async def __anext__(self) -> bytes:
        _as_one(cast("Any", self._content))
        if chunk := await self._content.readany():
            return chunk
        raise StopAsyncIteration


def _as_one(content: Any) -> None:
    """Join the pieces that have come, and forget where chunks ended; there is no other way, and a test holds it."""
    pieces: Any = getattr(content, "_buffer", ())  # an empty body has none
    if len(pieces) > 1 and not content._buffer_offset:
        whole, ends = b"".join(pieces), content._http_chunk_splits
        pieces.clear()
        pieces.append(whole)
        if ends:
            last = ends.pop()
            ends.clear()
            ends.append(last)


def kept_seconds(header: str) -> float | None:
    """How long to keep an idle connection by a server's Keep-Alive; None where it says nothing."""
    said = _TIMEOUT.search(header)
    return min(max(int(said[1]) - _MARGIN_S, _LEAST_S), _MOST_S) if said else None


def _closed_before(error: BaseException) -> bool:
    """Whether the request came too late for its connection."""
    reused_at = _reused_at.get()
    if reused_at is None or time.monotonic() - reused_at > _MOMENT_S:
        return False
    return any(_ended_unanswered(cause) for cause in _chain(error))


def _ended_unanswered(error: BaseException) -> bool:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return error.message == _CLEAN_END
    return isinstance(error, ConnectionResetError) or (isinstance(error, OSError) and error.errno in _GONE)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
