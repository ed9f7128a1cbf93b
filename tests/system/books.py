"""The ledger's file read by the tests themselves, past cortexd's own code: SQL on a connection that cannot write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ENTRIES = """
SELECT request,
       sum(CASE kind WHEN 'reserve' THEN nano WHEN 'release' THEN -nano ELSE 0 END) AS open,
       sum(CASE kind WHEN 'reserve' THEN nano ELSE 0 END) AS reserved,
       sum(CASE WHEN kind IN ('charge', 'adjust') THEN nano ELSE 0 END) AS charged,
       sum(kind = 'release') AS releases
FROM entries GROUP BY request"""
_ROWS = f"""
SELECT requests.*, coalesce(e.open, 0) AS open, coalesce(e.reserved, 0) AS reserved,
       coalesce(e.charged, 0) AS charged, coalesce(e.releases, 0) AS releases,
       (SELECT coalesce(sum(cost_nano), 0) FROM attempts WHERE attempts.request = requests.id) AS attempted
FROM requests LEFT JOIN ({_ENTRIES}) AS e ON e.request = requests.id ORDER BY requests.id"""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Books:
    """`rows`: the requests, each with what its entries add up to: `open` (reserved and not released), `reserved`
    (ever), `charged`, `releases`, and `attempted`, the sum of its attempts' costs. All in nano-dollars."""

    rows: list[Row]
    attempts: list[Row]

    @property
    def charged_nano(self) -> int:
        return sum(row["charged"] for row in self.rows)

    @property
    def states(self) -> list[str]:
        """In the order in which the requests began."""
        return [row["state"] for row in self.rows]

    def charged_to(self, uid: int) -> int:
        return sum(row["charged"] for row in self.rows if row["uid"] == uid)

    def request(self, request_id: str) -> Row:
        [found] = [row for row in self.rows if row["request_id"] == request_id]
        return found

    def attempts_of(self, request_id: str) -> list[Row]:
        key = self.request(request_id)["id"]
        return [row for row in self.attempts if row["request"] == key]

    def assert_balanced(self, after_a_kill: bool = False) -> None:
        """Every request is settled, its reservation released once, its cost the sum of its charges and attempts.

        A kill leaves requests that are settled as lost, of whose attempts nothing is known.
        """
        for row in self.rows:
            attempted = 0 if after_a_kill and row["state"] == "lost" else row["cost_nano"]
            figures = (row["state"] != "pending", row["open"], row["releases"], row["charged"], row["attempted"])
            assert figures == (True, 0, 1, row["cost_nano"], attempted), row


def read_books(file: Path) -> Books:
    with _reading(file) as connection:
        connection.execute("BEGIN")  # both tables as of one moment
        return Books(_rows(connection, _ROWS), _rows(connection, "SELECT * FROM attempts ORDER BY request, number"))


def _rows(connection: sqlite3.Connection, query: str) -> list[Row]:
    return [dict(row) for row in connection.execute(query)]


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=20)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection
