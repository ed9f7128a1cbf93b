"""HTTP under both SDKs: one client per endpoint, nothing from the environment, bodies bounded while they are read.

Both SDKs sit on httpx2 with aiohttp below it; a failure shows as a chain of their exceptions, which is read here.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Protocol, TypeVar, cast

import aiohttp
import httpx2
from aiohttp.http_exceptions import ContentEncodingError

from cortexd.config.addresses import bypasses
from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.errors import Failure, ProviderError
from cortexd.providers.connections import KEPT_S, keep_connections
from cortexd.providers.failures import malformed, status_error

# Answers are read into one buffer: asking for none spares the work, and leaves nothing to blow up.
REQUEST_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
ERROR_BODY_BYTES = 16 * 1024
ERROR_BODY_S = 5.0
_PLACEHOLDER_KEY = "none"
_LOGGERS = ("anthropic", "openai", "httpx2", "httpcore2")
_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    httpx2.UnsupportedProtocol,
)

Client = TypeVar("Client", bound=httpx2.AsyncClient)


def http_client(kind: type[Client], settings: ProviderSettings, network: NetworkSettings) -> Client:
    """A pooled client for one endpoint. Raises OSError or ValueError where the network settings cannot be used."""
    client = kind(
        **client_options(settings, network),
        event_hooks={"request": [awaited(own_headers(settings))], "response": [_bound_error_body]},
    )
    keep_connections(client)
    return client


def client_options(settings: ProviderSettings, network: NetworkSettings) -> dict[str, Any]:
    """What every httpx2 client for the endpoint is made with. Raises as `http_client`."""
    return {
        "verify": _ssl_context(network),
        "proxy": proxy_of(settings, network),
        "trust_env": False,
        "follow_redirects": False,
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=())),
        "timeout": timeouts(settings),
        "limits": httpx2.Limits(max_connections=settings.max_connections, keepalive_expiry=KEPT_S),
    }


def timeouts(settings: ProviderSettings) -> httpx2.Timeout:
    """Only the connect has a limit of its own; `Call.timeout_s` bounds the rest, the wait for a free connection too."""
    return httpx2.Timeout(None, connect=settings.connect_timeout_s)


def tls_context(settings: ProviderSettings, network: NetworkSettings) -> ssl.SSLContext | None:
    """None where neither the endpoint nor its proxy speaks TLS: reading the authorities takes 20 ms and a megabyte.
    Raises OSError where `ca_file` cannot be used."""
    ends = (settings.base_url, proxy_for(settings, network) or "")
    return _ssl_context(network) if any(end.lower().startswith("https:") for end in ends) else None


def _ssl_context(network: NetworkSettings) -> ssl.SSLContext:
    """The system's authorities, and those in `ca_file` beside them."""
    context = httpx2.create_ssl_context(trust_env=False)
    if network.ca_file is not None:
        context.load_verify_locations(network.ca_file)
    return context


def proxy_for(settings: ProviderSettings, network: NetworkSettings) -> str | None:
    host = httpx2.URL(settings.base_url).host
    return None if settings.local or bypasses(host, network.no_proxy) else network.proxy


def proxy_of(settings: ProviderSettings, network: NetworkSettings) -> httpx2.Proxy | None:
    """The proxy with its credentials in the form that aiohttp does not warn about: it renames the header itself. Raises
    ValueError for one that cannot be used."""
    url = proxy_for(settings, network)
    if url is None:
        return None
    try:
        proxy = httpx2.Proxy(url)
    except httpx2.InvalidURL as error:
        raise ValueError(str(error)) from None
    if proxy.auth is not None:
        credentials = b64encode(":".join(proxy.auth).encode()).decode()
        proxy.headers["Authorization"] = f"Basic {credentials}"
        proxy.auth = None
    return proxy


def key_of(settings: ProviderSettings) -> str:
    """The key for the Authorization header. Raises ProviderError (authentication) where none can be sent."""
    if settings.key is None and settings.local:
        return _PLACEHOLDER_KEY
    key = settings.key.reveal() if settings.key else ""
    if not key:
        raise ProviderError(Failure.AUTHENTICATION, f"no key is configured for {settings.name}")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ProviderError(Failure.AUTHENTICATION, "the key holds characters that no HTTP header can carry")
    return key


def own_headers(settings: ProviderSettings) -> Callable[[httpx2.Request], None]:
    """Writes the settings' own headers over those of the SDK, which knows one way alone to send a key."""
    own = {name: value.reveal() for name, value in settings.headers.items()}
    if settings.auth_header and settings.key:
        own[settings.auth_header] = key_of(settings)

    def write(request: httpx2.Request) -> None:
        request.headers.update(own)
        if settings.auth_header:
            request.headers.pop("Authorization", None)

    return write


def awaited(hook: Callable[[httpx2.Request], None]) -> Callable[[httpx2.Request], Awaitable[None]]:
    async def run(request: httpx2.Request) -> None:
        hook(request)

    return run


def silence_sdk_logs() -> None:
    """At debug level, which a variable of the environment can set, they log prompts."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def arriving(response: httpx2.Response) -> aclosing[AsyncGenerator[bytes, None]]:
    """The decoded body as it arrives; the reader sets the bound."""
    # Without an encoding there is nothing to decode, and the two generators that would do it cost a tenth of a stream.
    if "content-encoding" in response.headers or not isinstance(response.stream, httpx2.AsyncByteStream):
        return aclosing(response.aiter_bytes())
    return aclosing(cast("AsyncGenerator[bytes, None]", aiter(response.stream)))


async def read_bounded(chunks: AsyncIterator[bytes], max_bytes: int, arrived: Callable[[], None]) -> bytes:
    """The whole body; `arrived` hears of each part with anything in it. Raises ProviderError (malformed answer) beyond
    `max_bytes`."""
    body = bytearray()
    async for chunk in chunks:
        if not chunk.isspace():
            arrived()
        body += chunk
        if len(body) > max_bytes:
            raise malformed(f"the answer is larger than {max_bytes} bytes")
    return bytes(body)


class _ReadBody(httpx2.AsyncByteStream):
    """A body that was read already, over the stream it came from."""

    def __init__(self, body: bytes, source: httpx2.AsyncByteStream) -> None:
        self._body = body
        self._source = source

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body

    async def aclose(self) -> None:
        await self._source.aclose()


async def _bound_error_body(response: httpx2.Response) -> None:
    """Read the start of an error's body before the SDK, which would read all of it, however long it is or takes."""
    source = response.stream
    if response.is_success or not isinstance(source, httpx2.AsyncByteStream):
        return
    body = bytearray()
    try:
        async with asyncio.timeout(ERROR_BODY_S):
            async for chunk in source:
                body += chunk
                if len(body) >= ERROR_BODY_BYTES:
                    break
    except (httpx2.TransportError, TimeoutError):
        pass  # the status is known, and that is what counts
    response.headers.pop("content-encoding", None)
    response.stream = _ReadBody(bytes(body[:ERROR_BODY_BYTES]), source)


class Response(Protocol):
    """What is asked of a response here."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def content(self) -> bytes: ...


def from_response(response: Response) -> ProviderError:
    """The failure that a response other than 2xx says."""
    return status_error(response.status_code, response.headers, response.content)


def from_connection(error: BaseException) -> ProviderError:
    """The failure behind an exception of the SDK, httpx2 or aiohttp, and whether the request can have been sent."""
    for cause in _chain(error):
        if isinstance(cause, aiohttp.ClientHttpProxyError):
            return ProviderError(Failure.CONNECTION, f"the proxy refused with HTTP {cause.status}")
        if isinstance(cause, _NEVER_SENT):
            return ProviderError(Failure.CONNECTION, str(cause))
        if isinstance(cause, aiohttp.ClientResponseError | ContentEncodingError | httpx2.DecodingError):
            return malformed("the answer is not valid HTTP")
    return ProviderError(
        Failure.CONNECTION, "the connection broke off before the answer was complete", may_have_billed=True
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
