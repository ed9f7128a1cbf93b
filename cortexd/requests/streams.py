"""Answers on their way to a stream's sink: the end of each is told, and each user has a bounded number open."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from cortexd.errors import CortexError, RateLimited
from cortexd.requests.internal_errors import internal_error
from cortexd.requests.results import Completion
from cortexd.requests.sinks import Sink, tell_whole

_CLOSING_S = 2.0


class Streams:
    """The open streams, by the task that sees each to its end."""

    def __init__(self) -> None:
        self._owners: dict[asyncio.Task[None], int] = {}
        self._opening: Counter[int] = Counter()

    @contextmanager
    def opening(self, uid: int, most: int) -> Iterator[None]:
        """While a stream is opened: it has its descriptors already. Raises RateLimited where `uid` has `most`."""
        if self._opening[uid] + sum(owner == uid for owner in self._owners.values()) >= most:
            raise RateLimited(
                f"You have {most} streams open, your limit (limits.max_streams_per_user). Close one.",
                retry_after_ms=1000,
            )
        self._opening[uid] += 1
        try:
            yield
        finally:
            self._opening[uid] -= 1
            if not self._opening[uid]:
                del self._opening[uid]

    def __len__(self) -> int:
        """Streams that are open, those included whose request has ended and whose reader is behind."""
        return len(self._owners)

    def feed(
        self, uid: int, answer: Awaitable[Completion], leave: Callable[[], None] | None, sink: Sink
    ) -> asyncio.Task[None]:
        """See `sink` to its end and close it; a reader who leaves cancels this. `leave`: this stream began the request,
        which tells the sink its deltas itself, and this is called when the stream is cancelled; None: the answer was
        there, or is another call's.
        """
        feeding = asyncio.create_task(_feed(answer, leave, sink), name="stream")
        self._owners[feeding] = uid
        feeding.add_done_callback(self._owners.pop)
        sink.gone.add_done_callback(lambda _gone: feeding.cancel())
        return feeding

    async def close(self) -> None:
        """Let the streams say their last words, now that their requests have ended."""
        if self._owners:
            await asyncio.wait(self._owners, timeout=_CLOSING_S)


async def _feed(answer: Awaitable[Completion], leave: Callable[[], None] | None, sink: Sink) -> None:
    try:
        completion = await answer
        if leave is None:
            await tell_whole(completion, sink)
        await sink.done(completion)
    except CortexError as error:
        await sink.failed(error)
    except asyncio.CancelledError:
        if leave is not None:
            leave()
        raise
    except Exception:  # noqa: BLE001 - a fault of ours must not look like the end of an answer
        await sink.failed(internal_error("while a stream was told"))
    finally:
        sink.close()
