"""The SDK clients of one router: made when first needed, replaceable, and closed with their event loop.

A client for threads serves them all. An asynchronous one belongs to one event loop: each loop gets its own, which is
closed when the loop shuts its asynchronous generators down, as `asyncio.run` does.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import weakref
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cortexd.config.settings import NetworkSettings, ProviderSettings, Secret
from cortexd.library.keys import Keys
from cortexd.providers.kinds import api_kind

if TYPE_CHECKING:
    import httpx2

_DIRECT = NetworkSettings()  # proxy variables of the environment are never read
_STAND_IN_KEY = Secret("replaced")


_Which = tuple[str, int]  # a provider, and which of its keys


@dataclass(frozen=True, slots=True)
class _Bound:
    """A client and the generator that closes it when its loop ends, or when nobody holds it any more."""

    client: Any
    keeper: AsyncGenerator[None, None]


class Clients:
    """All clients of one router, by provider name and by which of its keys; those that users see or replace are the
    first key's. `sdk_class` finds an SDK's class by its name."""

    def __init__(
        self,
        providers: Mapping[str, ProviderSettings],
        sdk_class: Callable[[str], Any],
        max_answer_bytes: int,
        keys: Keys,
    ) -> None:
        self._keys = keys
        self._providers = providers
        self._sdk_class = sdk_class
        self._max_answer_bytes = max_answer_bytes
        self._lock = threading.Lock()
        self._making = threading.RLock()  # held for seconds: two imports at once may meet half-initialised modules
        self._replaced: dict[tuple[str, bool], Any] = {}
        self._blocking: dict[_Which, Any] = {}
        self._unbound: dict[_Which, Any] = {}  # asynchronous, looked at before any loop needed them
        self._of_loop: dict[AbstractEventLoop, dict[_Which, asyncio.Task[_Bound]]] = {}
        self._connections: list[httpx2.Client] = []
        weakref.finalize(self, _close_all, self._connections)

    def settings(self, name: str, *, asynchronous: bool | None = None) -> ProviderSettings:
        """The provider's settings, configured where a client was put in its place, and not where None was.

        `asynchronous` None asks for either kind.
        """
        settings = self._providers[name]
        kinds = (False, True) if asynchronous is None else (asynchronous,)
        replaced = [self._replaced[name, kind] for kind in kinds if (name, kind) in self._replaced]
        if any(client is not None for client in replaced):
            return replace(settings, enabled=True, key=settings.key or _STAND_IN_KEY)
        return replace(settings, enabled=False) if len(replaced) == len(kinds) else settings

    def replace(self, name: str, asynchronous: bool, client: Any) -> None:
        """Use `client` from now on; with None the provider counts as not configured."""
        self._replaced[name, asynchronous] = client

    def restore(self, name: str, asynchronous: bool) -> None:
        """Forget what `replace` said."""
        self._replaced.pop((name, asynchronous), None)

    def blocking(self, name: str, key: int = 0) -> Any:
        """The client for threads; None where the provider is not configured."""
        if self._is_settled(name, key, asynchronous=False):
            return self._replaced.get((name, False))
        with self._making:
            if (name, key) not in self._blocking:
                self._blocking[name, key] = self._make_blocking(name, key)
            return self._blocking[name, key]

    def of_this_loop(self, name: str) -> Any:
        """The running loop's client; where there is none yet, the one that the next loop to need one will use."""
        if self._is_settled(name, 0, asynchronous=True):
            return self._replaced.get((name, True))
        which = (name, 0)
        if (bound := self._bound_here(which)) is not None:
            return bound.client
        with self._making:
            if which not in self._unbound:
                self._unbound[which] = self._make_async(*which)
            return self._unbound[which]

    async def asynchronous(self, name: str, key: int = 0) -> Any:
        """The running loop's client, made off the loop: the first import of an SDK takes seconds."""
        if self._is_settled(name, key, asynchronous=True):
            return self._replaced.get((name, True))
        which = (name, key)
        loop = asyncio.get_running_loop()
        with self._lock:
            for closed in [other for other in self._of_loop if other.is_closed()]:
                del self._of_loop[closed]
            tasks = self._of_loop.setdefault(loop, {})
            if which not in tasks or _in_vain(tasks[which]):
                tasks[which] = loop.create_task(self._bind(which))
            binding = tasks[which]
        return (await asyncio.shield(binding)).client

    def close(self) -> None:
        """Close the clients for threads; calls under way fail. Those of event loops end with their loops."""
        with self._making:
            self._blocking.clear()
            self._unbound.clear()
            _close_all(self._connections)

    async def aclose(self) -> None:
        """Close the running loop's clients, and those for threads."""
        with self._lock:
            tasks = self._of_loop.pop(asyncio.get_running_loop(), {})
        for task in tasks.values():
            if not _in_vain(task):
                await (await task).keeper.aclose()
        self.close()

    def _is_settled(self, name: str, key: int, *, asynchronous: bool) -> bool:
        """Whether the user put something in this client's place, or there is nobody to ask."""
        return (key == 0 and (name, asynchronous) in self._replaced) or not self._providers[name].configured

    def _settings_with(self, name: str, key: int) -> ProviderSettings:
        keys = self._keys.of(name)
        return replace(self._providers[name], key=keys[key]) if keys else self._providers[name]

    def _make_blocking(self, name: str, key: int) -> Any:
        from cortexd.providers.vendor_clients import blocking_client

        settings = self._settings_with(name, key)
        kind = self._sdk_class(api_kind(settings.api).sdk.blocking)
        client, connections = blocking_client(kind, settings, _DIRECT, self._max_answer_bytes)
        self._connections.append(connections)
        return client

    def _make_async(self, name: str, key: int) -> Any:
        settings = self._settings_with(name, key)
        with self._making:
            from cortexd.providers.vendor_clients import async_client

            kind = self._sdk_class(api_kind(settings.api).sdk.asynchronous)
            return async_client(kind, settings, _DIRECT, self._max_answer_bytes)

    def _bound_here(self, which: _Which) -> _Bound | None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return None
        task = self._of_loop.get(loop, {}).get(which)
        return task.result() if task is not None and task.done() and not _in_vain(task) else None

    async def _bind(self, which: _Which) -> _Bound:
        client = self._unbound.pop(which, None) or await asyncio.to_thread(self._make_async, *which)
        keeper = _closing_with_the_loop(client)
        await anext(keeper)
        return _Bound(client, keeper)


def _in_vain(task: asyncio.Task[_Bound]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


async def _closing_with_the_loop(client: Any) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        closing = client.close()
        if inspect.isawaitable(closing):  # a fake's need not be
            await closing


def _close_all(connections: list[httpx2.Client]) -> None:
    while connections:
        connections.pop().close()
