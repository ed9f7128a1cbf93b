"""The ledger's append-only entries, replayed one by one: what was spent and reserved together after each of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Container
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

# What an entry adds to spent and reserved together: a reservation is given back before its charge is booked.
_SIGNS = {"reserve": 1, "release": -1, "charge": 1, "adjust": 1}


@dataclass(frozen=True, slots=True)
class Entry:
    """`nano` as it stands in the file, in nano-dollars."""

    request: int
    uid: int
    kind: str
    nano: int

    @property
    def held(self) -> int:
        return _SIGNS[self.kind] * self.nano


def read_entries(file: Path) -> list[Entry]:
    """In the order in which they were written."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=20)) as connection:
        return [Entry(*row) for row in connection.execute("SELECT request, uid, kind, nano FROM entries ORDER BY seq")]


def most_held(entries: list[Entry], uids: Container[int] | None = None) -> int:
    """The most that was spent and reserved together at any instant, by `uids` or by everybody."""
    held = (entry.held for entry in entries if uids is None or entry.uid in uids)
    return max(accumulate(held), default=0)
