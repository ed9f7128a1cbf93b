"""Requests under way, and the answers just given, by (uid, request id): what a repeated call joins or gets again."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Key = tuple[int, str]  # uid, request id

_KEPT_S = 600.0
_KEPT_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class Running(Generic[T]):
    """One request under way. `chosen`: the caller chose the id, so the request outlives its caller."""

    content_hash: bytes
    chosen: bool
    task: asyncio.Task[T]


@dataclass(slots=True)
class _Kept(Generic[T]):
    content_hash: bytes
    result: T
    size: int
    until: float


class InFlight(Generic[T]):
    """The daemon's own requests. Finished answers are kept 10 minutes, 32 MiB at most, oldest dropped first."""

    def __init__(
        self,
        size_of: Callable[[T], int],
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size_of = size_of
        self._on_change = on_change
        self._clock = clock
        self._running: dict[Key, Running[T]] = {}
        self._kept: OrderedDict[Key, _Kept[T]] = OrderedDict()
        self._kept_bytes = 0

    def __len__(self) -> int:
        return len(self._running)

    def start(self, key: Key, content_hash: bytes, chosen: bool, work: Coroutine[Any, Any, T]) -> Running[T]:
        """Run `work` as this request's task; it is forgotten, or its answer kept, when it ends."""
        running = Running(content_hash, chosen, asyncio.create_task(work, name=f"request {key[1]}"))
        self._running[key] = running
        self._on_change()
        running.task.add_done_callback(lambda _task: self._finished(key, running))
        return running

    def running(self, key: Key) -> Running[T] | None:
        return self._running.get(key)

    def kept(self, key: Key) -> tuple[bytes, T] | None:
        """The content hash and answer of a request that ended lately."""
        self._drop_old()
        kept = self._kept.get(key)
        return (kept.content_hash, kept.result) if kept else None

    async def outlive(self) -> None:
        """Wait for the requests that are under way now, not for later ones."""
        if tasks := [running.task for running in self._running.values()]:
            await asyncio.wait(tasks)

    async def drain(self, timeout_s: float) -> bool:
        """Wait for every request to end; after `timeout_s` cancel those left. True if none had to be cancelled."""
        tasks = [running.task for running in self._running.values()]
        if not tasks:
            return True
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=5)
        return not late

    def _finished(self, key: Key, running: Running[T]) -> None:
        del self._running[key]
        self._on_change()
        if running.task.cancelled() or running.task.exception() is not None or not running.chosen:
            return
        result = running.task.result()
        size = self._size_of(result)
        if size <= _KEPT_BYTES:
            self._kept[key] = _Kept(running.content_hash, result, size, self._clock() + _KEPT_S)
            self._kept_bytes += size
        self._drop_old()

    def _drop_old(self) -> None:
        now = self._clock()
        while self._kept:
            key, oldest = next(iter(self._kept.items()))
            if oldest.until > now and self._kept_bytes <= _KEPT_BYTES:
                return
            self._kept_bytes -= oldest.size
            del self._kept[key]
