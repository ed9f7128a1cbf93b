"""The thread that moves what the writer has committed to where it stays, so that no write waits for the disk."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from cortexd.ledger.writing.store import Store

EVERY = 100  # commits; each adds some ten pages to the log
MAX_LOG_BYTES = 16 * 1024 * 1024


class WriteBack:
    """Writes the log back beside the writer after every so many commits.

    A writer that never rests adds to the log meanwhile, so that it never begins anew. Past MAX_LOG_BYTES the writer
    therefore moves the little that is left itself.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-write-back")
        self._running: Future[int] | None = None
        self._commits = 0

    def committed(self) -> None:
        """After each commit, in the thread that made it."""
        self._commits += 1
        if self._running is not None and self._running.done():
            if self._running.result() > MAX_LOG_BYTES:
                self._store.write_back()
            self._running = None
        if self._commits >= EVERY and self._running is None:
            self._commits = 0
            self._running = self._thread.submit(self._store.write_back_beside)

    def close(self) -> None:
        """Wait for what runs."""
        self._thread.shutdown()
