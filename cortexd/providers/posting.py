"""Posting with the headers of a vendor's SDK, over aiohttp.

The SDK is asked once what it would send; aiohttp speaks HTTP. What lies between the two puts each request and each
response together anew, which takes more processor time than both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.providers.connections import Connections
from cortexd.providers.request_body import LongBody
from cortexd.providers.transport import ERROR_BODY_BYTES, ERROR_BODY_S, proxy_of, tls_context
from cortexd.providers.vendor_request import VendorRequest


@dataclass(frozen=True, slots=True)
class Refusal:
    """A response other than 2xx. `content`: the first part of its body."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


class Refused(Exception):
    """The response was other than 2xx."""

    def __init__(self, response: Refusal) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response


class Unreached(Exception):
    """No response came; the cause says why."""


class Posting:
    """To one endpoint, as its SDK would. Raises OSError or ValueError where the network settings cannot be used."""

    def __init__(self, request: VendorRequest, settings: ProviderSettings, network: NetworkSettings) -> None:
        self._address, self._settled = request.address, request.settled
        options: dict[str, Any] = {"timeout": aiohttp.ClientTimeout(sock_connect=settings.connect_timeout_s)}
        if (proxy := proxy_of(settings, network)) is not None:
            options |= {"proxy": str(proxy.url), "proxy_headers": dict(proxy.headers)}
        verify = tls_context(settings, network)
        self._connections = Connections(settings.max_connections, verify, request.headers, options)

    async def post(self, content: bytes | LongBody, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """A response whose body is unread, to be released. Raises Refused and Unreached."""
        given = {name: value for name, value in headers.items() if name.lower() not in self._settled}
        response = await self._reached(self._address, content, given)
        if 200 <= response.status < 300:
            return response
        raise Refused(Refusal(response.status, response.headers, await _first_part(response)))

    async def status(self, address: str) -> int:
        """What an empty body is answered there. Raises Unreached."""
        response = await self._reached(address, b"{}", {})
        response.release()
        return response.status

    async def _reached(
        self, address: str, content: bytes | LongBody, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        try:
            return await self._connections.request("POST", address, data=content, headers=headers)
        except Exception as error:
            raise Unreached(str(error)) from error

    async def close(self) -> None:
        await self._connections.close()


async def _first_part(response: aiohttp.ClientResponse) -> bytes:
    """Of an error's body, however long it is or takes."""
    body = bytearray()
    try:
        with suppress(aiohttp.ClientError, TimeoutError):  # the status is known, and that is what counts
            async with asyncio.timeout(ERROR_BODY_S):
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) >= ERROR_BODY_BYTES:
                        break
    finally:
        response.release()
    return bytes(body[:ERROR_BODY_BYTES])
