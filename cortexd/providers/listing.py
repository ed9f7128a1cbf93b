"""A server's list of its models, through the vendor's client: its key and headers, a bounded body."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from cortexd.domain.served import MOST_BYTES, ServedModel, served_models
from cortexd.providers.failures import Errors, malformed, map_exceptions
from cortexd.providers.transport import arriving, read_bounded
from cortexd.providers.vendor_clients import address

_HEADERS = {"Accept-Encoding": "identity"}


async def list_models(client: Any, path: str, stream: type[Any], errors: Errors) -> tuple[ServedModel, ...]:
    """What the SDK's `client` is answered at `path`; `stream` is the SDK's class of an unread answer. Raises
    ProviderError."""
    with map_exceptions(errors):
        given = await client.get(
            address(client, path), cast_to=object, options={"headers": _HEADERS}, stream=True, stream_cls=stream
        )
        try:
            async with arriving(given.response) as chunks:
                body = await read_bounded(chunks, MOST_BYTES, lambda: None)
        finally:
            with suppress(*errors):
                await given.close()
    try:
        return served_models(body)
    except ValueError as problem:
        raise malformed(f"the list of models is none: {problem}") from None
