"""Streams and subscriptions as ordinary iterators, for threads."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from cortexd.client.figures import CostEvent, Snapshot
from cortexd.client.portal import Closed, Portal
from cortexd.client.raw import BytesEvent, RawEvent, RawStream
from cortexd.client.reading import Reading
from cortexd.client.results import Completion
from cortexd.client.stream_events import StreamEvent, TextEvent
from cortexd.client.streams import Stream
from cortexd.client.subscription import Event, Subscription

T = TypeVar("T")
E = TypeVar("E")


class _Opened:
    """Opening and closing what lives on the portal's loop, from any thread; with `with`, both."""

    def __init__(self, source: Reading[Any] | Subscription, portal: Portal) -> None:
        self._source = source
        self._portal = portal

    def open(self) -> Self:
        """Send the request, or subscribe; returns before the first piece or event. Does nothing the second time."""
        self._portal.run(self._source.open())
        return self

    def close(self) -> None:
        """Read no more: a request under way is cancelled, a subscription and every iteration over it end."""
        try:
            self._portal.run(self._source.close())
        except Closed:
            return  # and the source with it

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Read(_Opened, Generic[E]):
    """A Reading from any thread. close() ends it, and so does dropping it."""

    def __init__(self, reading: Reading[E], portal: Portal) -> None:
        super().__init__(reading, portal)
        self._read = reading

    @property
    def request_id(self) -> str:
        """For cancel() and report_outcome(); empty before open()."""
        return self._read.request_id

    @property
    def completion(self) -> Completion:
        """The whole answer and what it took. Raises RuntimeError before the end was read."""
        return self._read.completion

    def events(self) -> Iterator[E]:
        """All that is told, and the end, in order."""
        try:
            while True:
                yield self._next()
        except StopIteration:
            return

    def _next(self) -> E:
        """One trip to the loop brings as many events as the pipe held."""
        try:
            if not self._read.has_next:
                self._portal.run(self._read.fill())
            return self._read.take()
        except (StopAsyncIteration, Closed):
            raise StopIteration from None


class SyncStream(_Read[StreamEvent]):
    """Stream as an ordinary iterator; see there. close() from any thread ends it, and so does dropping it."""

    def __init__(self, stream: Stream, portal: Portal) -> None:
        super().__init__(stream, portal)
        self._stream = stream

    @property
    def restarted(self) -> bool:
        """Whether a provider failed in the middle, so that what came before counts no more."""
        return self._stream.restarted

    @property
    def text(self) -> str:
        """The text given out so far of the answer that counts."""
        return self._stream.text

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while True:
            event = self._next()
            if isinstance(event, TextEvent):
                return event.text


class SyncRawStream(_Read[RawEvent]):
    """RawStream as an ordinary iterator; see there."""

    def __init__(self, stream: RawStream, portal: Portal) -> None:
        super().__init__(stream, portal)
        self._stream = stream

    @property
    def told(self) -> bool:
        """Whether the service has said how it ended."""
        return self._stream.told

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while True:
            event = self._next()
            if isinstance(event, BytesEvent):
                return event.data


class SyncSubscription(_Opened):
    """Subscription as an ordinary iterator. close() from any thread ends it."""

    def __init__(self, subscription: Subscription, portal: Portal) -> None:
        super().__init__(subscription, portal)
        self._subscription = subscription

    @property
    def snapshot(self) -> Snapshot:
        """Where this user's figures stood when the subscription began, or began again."""
        return self._subscription.snapshot

    @property
    def dropped(self) -> int:
        """Events that nobody read in time."""
        return self._subscription.dropped

    def __iter__(self) -> Iterator[CostEvent]:
        return self

    def __next__(self) -> CostEvent:
        return self._next(self._subscription.__anext__())

    def events(self) -> Iterator[Event]:
        """As Subscription.events()."""
        try:
            while True:
                yield self._next(self._subscription.next_event())
        except StopIteration:
            return

    def _next(self, event: Coroutine[Any, Any, T]) -> T:
        try:
            return self._portal.run(event)
        except (StopAsyncIteration, Closed):
            raise StopIteration from None
