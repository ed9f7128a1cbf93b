"""The spool of one machine: what it could not book, in the order in which it came, until it is booked."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cortexd.errors import LedgerUnavailable
from cortexd.ledger.records import Settled
from cortexd.ledger.spool import documents
from cortexd.ledger.spool.lines import SpoolFile
from cortexd.ledger.writing.actions import Replay, Settle

_log = logging.getLogger("cortexd.ledger")
MOST_BYTES = 64 * 1024 * 1024
_FOR_SETTLEMENTS = MOST_BYTES // 8  # which are of paid requests: free ones leave them that much
Late = Callable[[Settled], None]


class Spool:
    """Its file is made when there is something to keep, and found where one is left. Any thread may use it. `instance`
    has begun the requests whose ends it keeps."""

    def __init__(self, path: Path, instance: str = "") -> None:
        self.path = path
        self._instance = instance
        self._lock = threading.Lock()
        self._file: SpoolFile | None = None
        self._late: dict[int, Late] = {}

    def find(self) -> None:
        """Open what an earlier daemon has left, if there is any."""
        try:
            if self.path.exists():
                self._opened()
        except (LedgerUnavailable, OSError) as error:
            _log.error("what waits in %s is not booked: %s", self.path, error)

    @property
    def waiting(self) -> int:
        """So many lines are to be booked."""
        return 0 if self._file is None else self._file.waiting

    @property
    def room(self) -> bool:
        """Whether further free requests may begin."""
        return self._file is None or self._file.size < MOST_BYTES - _FOR_SETTLEMENTS

    def keep(self, lines: Sequence[tuple[bytes, Late | None]]) -> None:
        """Have these on the disk; who is to hear of each once it is booked. Raises LedgerUnavailable."""
        try:
            file = self._opened()
            if file.size > MOST_BYTES:
                raise LedgerUnavailable(f"{self.path} is full")
            with self._lock:  # or one might be booked before who wants to hear of it is known
                first = file.append([document for document, _ in lines])
                self._late.update({first + place: late for place, (_, late) in enumerate(lines) if late is not None})
        except OSError as error:
            raise LedgerUnavailable(f"cannot write {self.path}: {error.strerror or error}") from error

    def keep_settlement(self, action: Settle) -> bool:
        """Whether it is on the disk."""
        try:
            self.keep([(documents.end(action, self._instance), None)])
        except LedgerUnavailable as error:
            _log.error("the settlement of request %d is kept in memory alone: %s", action.key, error)
            return False
        return True

    def next(self, most: int) -> list[Replay]:
        """What waits longest to be booked."""
        if self._file is None or not self._file.waiting:
            return []
        found: list[Replay] = []
        try:
            lines = self._file.read(most)
        except OSError as error:
            _log.error("%s cannot be read: %s; what waits in it is booked at the next start", self.path, error)
            self.close()
            return []
        for line in lines:
            action = documents.action_of(self._file.name, line.number, line.document)
            if action is None:
                _log.error("line %d of %s says nothing that is known; it is passed over", line.number, self.path)
            else:
                found.append(action)
        if not found:
            self._drop(lines[-1].number if lines else sys.maxsize)
        return found

    def done(self, actions: Sequence[Replay], results: Sequence[Any]) -> list[tuple[Late | None, Any]]:
        """They are booked, or never will be: who wants to hear of it, with the results."""
        with self._lock:
            lates = [self._late.pop(action.number, None) for action in actions]
        self._drop(actions[-1].number)
        return list(zip(lates, results, strict=True))

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def _drop(self, number: int) -> None:
        assert self._file is not None
        try:
            self._file.done(number)
        except OSError as error:
            _log.error("%s cannot be emptied: %s; what is booked is not booked again", self.path, error)

    def _opened(self) -> SpoolFile:
        with self._lock:
            if self._file is None:
                self._file = SpoolFile(self.path)
            return self._file
