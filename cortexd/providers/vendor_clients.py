"""The vendors' client objects, made alike for the daemon's adapters and for programs that hold them (llm_router).

Nothing comes from the environment, nothing is retried or traced, and bodies are bounded while they are read.
Importing this imports no SDK: the caller brings the class.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TypeVar

import httpx2

from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.providers.kinds import api_kind
from cortexd.providers.transport import (
    ERROR_BODY_BYTES,
    client_options,
    http_client,
    key_of,
    own_headers,
)

# The SDKs ask for compression; asking for none leaves nothing to blow up.
_HEADERS = {"Accept-Encoding": "identity"}
_EVENTS = "text/event-stream"
_TAIL_BYTES = 1024

T = TypeVar("T")


def make_client(
    kind: Callable[..., T],
    settings: ProviderSettings,
    http: httpx2.Client | httpx2.AsyncClient,
    timeout: httpx2.Timeout,
) -> T:
    """An SDK client of class `kind`. Raises ProviderError (authentication) for a key that cannot be sent."""
    sdk = api_kind(settings.api).sdk
    client = kind(
        api_key=key_of(settings),
        base_url=settings.base_url,
        max_retries=0,
        timeout=timeout,
        http_client=http,
        **sdk.options,
    )
    for name in sdk.environment:
        if hasattr(client, name):
            setattr(client, name, {} if name == "_custom_headers" else None)
    return client


def blocking_client(
    kind: Callable[..., T], settings: ProviderSettings, network: NetworkSettings, max_bytes: int
) -> tuple[T, httpx2.Client]:
    """A client for threads, and its connections. An answer that is not streamed ends within twice `timeout_s`."""
    hook = partial(_bound, max_bytes=max_bytes, whole_s=2 * settings.timeout_s)
    http = httpx2.Client(
        **client_options(settings, network),
        headers=_HEADERS,
        event_hooks={"request": [_begin, own_headers(settings)], "response": [hook]},
    )
    return make_client(kind, settings, http, _timeouts(settings)), http


def async_client(kind: Callable[..., T], settings: ProviderSettings, network: NetworkSettings, max_bytes: int) -> T:
    """A client for one event loop; it belongs to the loop that first uses it."""
    http: httpx2.AsyncClient = http_client(_aiohttp_kind(settings.api), settings, network)
    http.headers.update(_HEADERS)
    http.event_hooks["response"].append(partial(_bound_async, max_bytes=max_bytes))
    return make_client(kind, settings, http, _timeouts(settings))


def _aiohttp_kind(api: str) -> type[httpx2.AsyncClient]:
    kind: type[httpx2.AsyncClient] = importlib.import_module(api_kind(api).sdk.module).DefaultAioHttpClient
    return kind


def _timeouts(settings: ProviderSettings) -> httpx2.Timeout:
    """`timeout_s` is how long a provider may be silent: nobody else bounds these calls."""
    return httpx2.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)


class _Bounded(httpx2.SyncByteStream):
    """A body that may hold `left` bytes more and must end by `until` (monotonic seconds). `tail`: its last bytes so
    far."""

    def __init__(self, source: httpx2.SyncByteStream, left: int, until: float) -> None:
        self._source, self._left, self._until = source, left, until
        self.tail = b""

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._source:
            self._left -= len(chunk)
            if self._left < 0:
                raise httpx2.ReadError("the answer is larger than allowed")
            if time.monotonic() > self._until:
                raise httpx2.ReadTimeout("the answer did not end in time")
            self.tail = (self.tail + chunk)[-_TAIL_BYTES:]
            yield chunk

    def close(self) -> None:
        self._source.close()


class _BoundedAsync(httpx2.AsyncByteStream):
    """As _Bounded; whoever awaits it sets the time."""

    def __init__(self, source: httpx2.AsyncByteStream, left: int) -> None:
        self._source, self._left = source, left
        self.tail = b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._source:
            self._left -= len(chunk)
            if self._left < 0:
                raise httpx2.ReadError("the answer is larger than allowed")
            self.tail = (self.tail + chunk)[-_TAIL_BYTES:]
            yield chunk

    async def aclose(self) -> None:
        await self._source.aclose()


def _begin(request: httpx2.Request) -> None:
    request.extensions["cortexd_begin"] = time.monotonic()


def _bound(response: httpx2.Response, max_bytes: int, whole_s: float) -> None:
    source = response.stream
    if not isinstance(source, httpx2.SyncByteStream):
        return
    streamed = response.headers.get("content-type", "").startswith(_EVENTS)
    until = float("inf") if streamed else response.request.extensions["cortexd_begin"] + whole_s
    response.stream = _Bounded(source, max_bytes if response.is_success else 16 * ERROR_BODY_BYTES, until)


async def _bound_async(response: httpx2.Response, max_bytes: int) -> None:
    if response.is_success and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _BoundedAsync(response.stream, max_bytes)
