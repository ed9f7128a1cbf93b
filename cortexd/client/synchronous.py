"""Client: the same methods for threads. An event loop in one background thread serves them all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, Self, TypeVar

from cortexd.client.asynchronous import AsyncClient
from cortexd.client.link import DEFAULT_TIMEOUT_S
from cortexd.client.outgoing import Messages
from cortexd.client.results import (
    Completion,
    CostEvent,
    Decision,
    Properties,
    ProviderInfo,
    ServiceChange,
    Snapshot,
    Stats,
)
from cortexd.client.subscription import Subscription
from cortexd.errors import ServiceUnavailable

T = TypeVar("T")


class _Closed(RuntimeError):
    pass


class _Portal:
    """Runs coroutines on a loop in a daemon thread, which begins with the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result; interrupting the wait cancels it."""
        try:
            loop = self._running_loop()
        except _Closed:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except CancelledError:
            raise ServiceUnavailable("this client was closed meanwhile") from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._loop is None or self._thread is None:
                return
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop = self._thread = None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise _Closed("this client is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name="cortexd-client", daemon=True)
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()


class Client:
    """AsyncClient without asyncio; see there. Any number of threads may call at once, also beside a running loop.

    Use it with `with`, or close() it. It does not survive a fork: make one per process.
    """

    def __init__(self, bus: str = "system", *, timeout_s: float = DEFAULT_TIMEOUT_S, interactive: bool = False) -> None:
        self._client = AsyncClient(bus, timeout_s=timeout_s, interactive=interactive)
        self._portal = _Portal()

    @property
    def unique_name(self) -> str:
        """Our name on the bus, by which polkit knows us; empty before connect() and after a loss."""
        return self._client.unique_name

    def connect(self) -> Self:
        """Connect now and not with the first call. Raises ServiceUnavailable where the bus cannot be reached."""
        self._portal.run(self._client.connect())
        return self

    def close(self) -> None:
        """Leave the bus, end the subscriptions and the thread. Does nothing the second time."""
        try:
            self._portal.run(self._client.close())
        except _Closed:
            return
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, prompt: str, task_type: str = "user_chat", **options: Any) -> str:
        """The answer to one prompt. Raises one of cortexd.errors, as every method does."""
        return self._portal.run(self._client.ask(prompt, task_type, **options))

    def complete(self, task_type: str, messages: Messages, **options: Any) -> Completion:
        """The answer to a conversation: message dictionaries, or one text for a single user message."""
        return self._portal.run(self._client.complete(task_type, messages, **options))

    def route(self, task_type: str, messages: Messages = "", **options: Any) -> Decision:
        """What complete() would do; spends nothing."""
        return self._portal.run(self._client.route(task_type, messages, **options))

    def stats(self) -> Stats:
        """This user's counters since the last reset."""
        return self._portal.run(self._client.stats())

    def reset_stats(self) -> None:
        """Start this user's counters again; the ledger keeps everything."""
        self._portal.run(self._client.reset_stats())

    def providers(self) -> list[ProviderInfo]:
        """Every provider, configured or not."""
        return self._portal.run(self._client.providers())

    def properties(self) -> Properties:
        """The service's version, features and totals."""
        return self._portal.run(self._client.properties())

    def subscribe(self, filter: Mapping[str, str] | None = None) -> SyncSubscription:
        """Costs of this user's requests as they arise. `filter`: task_type and provider, to see only such."""
        return self._portal.run(self._subscribe(filter))

    async def _subscribe(self, filter: Mapping[str, str] | None) -> SyncSubscription:
        return SyncSubscription(self._client.subscribe(filter), self._portal)


class SyncSubscription:
    """Subscription as an ordinary iterator. close() from any thread ends it."""

    def __init__(self, subscription: Subscription, portal: _Portal) -> None:
        self._subscription = subscription
        self._portal = portal

    @property
    def snapshot(self) -> Snapshot:
        """Where this user's figures stood when the subscription began, or began again."""
        return self._subscription.snapshot

    @property
    def dropped(self) -> int:
        """Events that nobody read in time."""
        return self._subscription.dropped

    def open(self) -> Self:
        """Subscribe now. Raises ServiceUnavailable where there is no service; does nothing the second time."""
        self._portal.run(self._subscription.open())
        return self

    def close(self) -> None:
        """End the subscription, and every iteration over it."""
        try:
            self._portal.run(self._subscription.close())
        except _Closed:
            return  # and the subscription with it

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[CostEvent]:
        return self

    def __next__(self) -> CostEvent:
        return self._next(self._subscription.__anext__())

    def events(self) -> Iterator[CostEvent | ServiceChange]:
        """Costs, and the service's leaving and returning, in order."""
        try:
            while True:
                yield self._next(self._subscription.next_event())
        except StopIteration:
            return

    def _next(self, event: Coroutine[Any, Any, T]) -> T:
        try:
            return self._portal.run(event)
        except (StopAsyncIteration, _Closed):
            raise StopIteration from None
