"""SDKs are imported, and clients built, in one background thread: an import holds a thread for 2 s.

One thread, because two imports at once may meet half-initialised modules in each other's dependencies.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

from cortexd.config.settings import NetworkSettings, ProviderSettings
from cortexd.domain.large_import import large_import
from cortexd.domain.messages import Answer, Call
from cortexd.domain.served import ServedModel
from cortexd.errors import Failure, ProviderError
from cortexd.providers.kinds import api_kind
from cortexd.providers.reader import Reader

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sdk-import")

T = TypeVar("T")


class LoadedApi(Protocol):
    """An endpoint's adapter with its client and connections."""

    async def attempt(self, call: Call, reader: Reader) -> Answer: ...

    async def aclose(self) -> None: ...


async def preload(apis: Collection[str]) -> None:
    """Import the SDKs of `apis` in the background. Raises ImportError where one cannot be imported."""
    for api in apis:
        await finished(in_background(partial(_adapter, api)))


def in_background(work: Callable[[], T]) -> Future[T]:
    return _thread.submit(work)


async def finished(future: Future[T]) -> T:
    """Wait for shared work; whoever stops waiting does not stop the work."""
    waiter = asyncio.wrap_future(future)
    await asyncio.wait([waiter])
    return waiter.result()


def build_api(settings: ProviderSettings, network: NetworkSettings, max_answer_bytes: int) -> LoadedApi:
    """Import the SDK and build the client. Raises ImportError, OSError, ValueError, ProviderError."""
    return _adapter(settings.api)(settings, network, max_answer_bytes)


async def listed_models(settings: ProviderSettings, network: NetworkSettings) -> tuple[ServedModel, ...]:
    """What the endpoint says it has. Raises ProviderError; whoever asks bounds the time."""
    listing = await finished(in_background(partial(importlib.import_module, "cortexd.providers.listing")))
    try:
        client = await finished(in_background(partial(listing.make_client, settings, network)))
    except (OSError, ValueError) as error:
        raise ProviderError(Failure.CONNECTION, f"the client cannot be set up: {error}") from None
    found: tuple[ServedModel, ...] = await listing.list_models(client, settings)
    return found


def _adapter(api: str) -> Callable[[ProviderSettings, NetworkSettings, int], LoadedApi]:
    """What all kinds share, with the SDK of `api` imported."""
    with large_import():
        from cortexd.providers.adapter import SdkApi  # aiohttp and httpx2
        from cortexd.providers.late_import import import_client

        import_client(api_kind(api).sdk)
    return SdkApi
