"""The thread that moves what the writer has committed to where it stays, so that no write waits for the disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cortexd.ledger.engines import Log

if TYPE_CHECKING:
    from cortexd.ledger.writing.late_store import AnyStore

EVERY = 400  # calls' commits; each adds some ten pages to the log
UPKEEP = 10  # times what a call's adds
LONG_BYTES = 16 * 1024 * 1024  # a log longer than this shall begin anew
MAX_BYTES = 128 * 1024 * 1024
_REST_S = 0.01


@dataclass(frozen=True, slots=True)
class _Moved:
    """`commits`: so many had been made when it began."""

    log: Log
    commits: int
    seconds: float


class WriteBack:
    """Writes the log back beside the writer after every so many commits.

    A log begins anew once all of it is moved and nothing is added meanwhile. Past LONG_BYTES what has come is therefore
    moved again and again, with rests. The writer does it itself past MAX_BYTES only: it would wait for a slow disk, and
    all calls for it. `done` is called in the other thread whenever that has ended.
    """

    def __init__(self, store: AnyStore, done: Callable[[], None]) -> None:
        self._store = store
        self._done = done
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-write-back")
        self._running: Future[_Moved] | None = None
        self._commits = 0
        self._ended = False  # since the last commit
        self._due = 0  # of what they add to the log, in calls' commits

    @property
    def busy(self) -> bool:
        """Whether it is at work: what can wait adds nothing to the log meanwhile."""
        return self._running is not None

    @property
    def quiet(self) -> bool:
        """Whether the next commit adds to the log, and does not begin it anew, which waits for the disk."""
        return self._running is None and not self._ended

    @property
    def due(self) -> bool:
        return self._due >= EVERY and self._running is None

    def committed(self, upkeep: bool) -> None:
        """After each commit, in the thread that made it."""
        self._ended = False
        self._commits += 1
        self._due += UPKEEP if upkeep else 1

    def go_on(self) -> None:
        """Begin, try again or end, as is due; in the writer's thread, between two commits."""
        if self._running is not None and self._running.done():
            self._end(self._running.result())
        if self.due:
            self._due = 0
            self._start()

    def close(self) -> None:
        """Wait for what runs."""
        self._thread.shutdown()

    def _end(self, moved: _Moved) -> None:
        self._running, self._ended = None, True
        if moved.log.size <= LONG_BYTES or (not moved.log.left and moved.commits == self._commits):
            return
        if moved.log.size > MAX_BYTES:
            self._store.write_back()
        else:
            self._start(rest_s=max(_REST_S, moved.seconds))

    def _start(self, rest_s: float = 0) -> None:
        self._running = self._thread.submit(self._move, rest_s)
        self._running.add_done_callback(lambda _: self._done())

    def _move(self, rest_s: float) -> _Moved:
        time.sleep(rest_s)
        commits, start = self._commits, time.monotonic()
        log = self._store.write_back_beside()
        return _Moved(log, commits, time.monotonic() - start)
