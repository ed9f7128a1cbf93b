"""A user's requests in a ledger file, read with SQL beside the daemon that writes it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_ROWS = """
SELECT request_id, state, cost_nano, cost_known,
       (SELECT coalesce(sum(nano), 0) FROM entries WHERE request = requests.id AND kind = 'reserve'),
       (SELECT coalesce(sum(nano), 0) FROM entries WHERE request = requests.id AND kind = 'release'),
       (SELECT coalesce(sum(nano), 0) FROM entries WHERE request = requests.id AND kind IN ('charge', 'adjust'))
FROM requests WHERE uid = ? ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One request, and what its entries reserved, released and charged, in nano-dollars."""

    request_id: str
    state: str
    cost_nano: int
    cost_known: bool
    reserved: int
    released: int
    charged: int

    @property
    def consistent(self) -> bool:
        """The cost is the sum of the charges, and what was reserved is released as soon as the request has ended."""
        return self.charged == self.cost_nano and self.released == (0 if self.state == "pending" else self.reserved)


def ledger_rows(ledger_file: Path, uid: int = 0) -> dict[str, Row]:
    """By request id, in the order in which they began."""
    with closing(sqlite3.connect(f"{ledger_file.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        found = [Row(*values) for values in connection.execute(_ROWS, [uid])]
    return {row.request_id: row for row in found}


def ledger_states(ledger_file: Path, uid: int = 0) -> list[str]:
    return [row.state for row in ledger_rows(ledger_file, uid).values()]
