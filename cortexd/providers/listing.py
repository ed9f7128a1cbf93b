"""A server's list of its models. Importing this takes a quarter of a second and belongs off the event loop.

Asked without the vendor's SDK: a daemon that only looks at its servers shall not hold one.
"""

from __future__ import annotations

import httpx2

from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.domain.served import MOST_BYTES, ServedModel, served_models
from cortexd.errors import Failure, ProviderError
from cortexd.providers.failures import malformed, map_exceptions
from cortexd.providers.kinds import api_kind
from cortexd.providers.transport import (
    arriving,
    from_connection,
    from_response,
    http_client,
    key_of,
    read_bounded,
)


def _unreached(error: Exception) -> ProviderError:
    return ProviderError(Failure.CONNECTION, str(error))


_ERRORS = {
    httpx2.ConnectError: _unreached,
    httpx2.ConnectTimeout: _unreached,
    httpx2.InvalidURL: _unreached,
    httpx2.HTTPError: from_connection,
}


def make_client(settings: ProviderSettings, network: NetworkSettings) -> httpx2.AsyncClient:
    """For one question. Raises OSError or ValueError where the network settings cannot be used."""
    return http_client(httpx2.AsyncClient, settings, network)


async def list_models(client: httpx2.AsyncClient, settings: ProviderSettings) -> tuple[ServedModel, ...]:
    """What the endpoint lists; closes the client. Raises ProviderError, or TimeoutError where whoever asks says so."""
    kind = api_kind(settings.api)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", **kind.key_headers(key_of(settings))}
    url = settings.base_url.rstrip("/") + kind.models
    with map_exceptions(_ERRORS):
        async with client, client.stream("GET", url, headers=headers) as response:
            if not response.is_success:
                await response.aread()  # which is bounded for errors
                raise from_response(response)
            async with arriving(response) as chunks:
                body = await read_bounded(chunks, MOST_BYTES, lambda: None)
    try:
        return served_models(body)
    except ValueError as problem:
        raise malformed(f"the list of models is none: {problem}") from None
