"""A ledger whose file is damaged somewhere: said once in the journal, and to each call that touches the place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from cortexd.errors import LedgerUnavailable

_log = logging.getLogger("cortexd.ledger")


class Damage:
    """Of the ledger at `place`; `damaged` tells which errors come of it. Any thread may ask."""

    def __init__(self, place: str, damaged: Callable[[BaseException], bool]) -> None:
        self._place = place
        self._damaged = damaged
        self._lock = threading.Lock()
        self._said = False

    def is_why(self, error: BaseException) -> bool:
        return self._damaged(error)

    def in_words(self, error: BaseException) -> LedgerUnavailable:
        """What a call that has met it is told."""
        with self._lock:
            first, self._said = not self._said, True
        if first:
            _log.error(
                "the ledger %s is damaged (%s); what touches the damaged part fails. Run cortexctl ledger check, then "
                "restore a backup",
                self._place,
                getattr(error, "orig", error),
            )
        return LedgerUnavailable(
            "The ledger is damaged where this call reads or writes. An administrator runs cortexctl ledger check, then "
            "restores a backup."
        )
