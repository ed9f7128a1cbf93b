"""How a ledger stands, for those who look at it from outside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cortexd.errors import LedgerUnavailable


class BookedLater(LedgerUnavailable):
    """The settlement is on this machine's disk, and will be booked."""


@dataclass(frozen=True, slots=True)
class LedgerState:
    """How a ledger is now. `since`: of when it cannot be written (aware); `waiting`: what this machine has kept to book
    it once it can; `settings_missing`: as of ledger/fleet.py."""

    writable: bool
    since: datetime | None = None
    waiting: int = 0
    settings_missing: int | None = None
