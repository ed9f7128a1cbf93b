"""What a vendor's SDK sends an endpoint, beside the body: it is asked once, by letting it send to nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from cortexd.config.settings import ProviderSettings
from cortexd.providers.kinds import api_kind
from cortexd.providers.transport import REQUEST_HEADERS, awaited, own_headers, timeouts
from cortexd.providers.vendor_clients import make_client

# What HTTP says of one request, and the SDK of its own time limit, which is not ours.
_OF_ONE_REQUEST = frozenset({"host", "connection", "content-length", "x-stainless-timeout", "x-stainless-read-timeout"})


@dataclass(frozen=True, slots=True)
class VendorRequest:
    """`address`: the whole one of the API's path below `base`. `headers`: of each request, the settings' own included;
    what these say is `settled`, by names in lower case."""

    address: str
    base: httpx2.URL
    headers: Mapping[str, str]
    settled: frozenset[str]


def vendor_request(kind: Callable[..., Any], settings: ProviderSettings) -> VendorRequest:
    """As the SDK's client of class `kind` puts it together; not on an event loop. Raises ProviderError (authentication)
    for a key that cannot be sent."""
    nobody = _Nobody()
    hook = awaited(own_headers(settings))
    http = httpx2.AsyncClient(transport=nobody, trust_env=False, event_hooks={"request": [hook]})
    client = make_client(kind, settings, http, timeouts(settings))
    asyncio.run(_ask(client, api_kind(settings.api).path))
    settled = {*settings.headers, *(("authorization", settings.auth_header) if settings.auth_header else ())}
    return VendorRequest(
        str(nobody.request.url), client.base_url, _kept(nobody.request.headers), frozenset(map(str.lower, settled))
    )


async def _ask(client: Any, path: str) -> None:
    async with client:
        await client.post(path, cast_to=httpx2.Response, body={}, options={"headers": REQUEST_HEADERS})


def _kept(headers: httpx2.Headers) -> dict[str, str]:
    pairs = ((name.decode(headers.encoding), value.decode(headers.encoding)) for name, value in headers.raw)
    return {name: value for name, value in pairs if name.lower() not in _OF_ONE_REQUEST}


class _Nobody(httpx2.AsyncBaseTransport):
    """Answers each request as well as an SDK wants it, and keeps it."""

    request: httpx2.Request

    async def handle_async_request(self, request: httpx2.Request) -> Any:  # an httpx2.Response
        self.request = request
        return httpx2.Response(200, json={})
