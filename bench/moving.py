"""python -m bench.moving [REQUESTS]: a ledger moved into a database and out again, with every sum as it was.

Makes a file of so many requests (200,000), moves it with cortexctl's own code into a private database of this machine's
PostgreSQL, writes that out into a second file, and compares the two files by SQL of its own. Prints a line a step.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cortexd.config.settings import LedgerSettings
from cortexd.ledger import Ledger
from cortexd.ledger.keeping.maintenance import check
from cortexd.ledger.moving.take_in import take_in
from cortexd.ledger.moving.write_out import write_out
from tests.postgresql import cluster, shared

_MANY = 200_000
_FILL = """
WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {count})
INSERT INTO requests (id, uid, user, request_id, caller_chosen, content_hash, task_type, state, instance, lease_until,
    started_at, finished_at, day, month, provider, model, cost_nano, cost_known, labels)
SELECT id, 1000 + id * 7919 % 23, 'user' || (id * 7919 % 23), lower(hex(randomblob(10))), 0, randomblob(32),
    CASE id % 3 WHEN 0 THEN 'user_chat' WHEN 1 THEN 'code_generation' ELSE 'error_debugging' END, 'done', 'bench', at,
    at, at, substr(at, 1, 10), substr(at, 1, 7), 'claude', 'model-' || id % 5, id * 1000003 % 99999989, 1,
    '{{"app": "program-' || id % 7 || '"}}'
FROM (SELECT id, strftime('%Y-%m-%d %H:%M:%S.000000', 'now', '-' || (id % 90) || ' days') AS at FROM n)
"""
_ATTEMPTS = """
INSERT INTO attempts SELECT id, 1, provider, model, 'ok', cost_nano, 1, id % 5000, id % 700, id % 90, 0, id % 50, 900,
    '', 300, 400, 0 FROM requests
"""
_ENTRIES = """
INSERT INTO entries (request, uid, kind, nano, at, day, month)
SELECT id, uid, kind, CASE kind WHEN 'charge' THEN cost_nano ELSE cost_nano * 2 END, started_at, day, month
FROM requests,
    (SELECT 1 AS place, 'reserve' AS kind UNION ALL SELECT 2, 'release' UNION ALL SELECT 3, 'charge')
ORDER BY id, place
"""
_ROLLUPS = """
INSERT INTO rollups SELECT requests.uid, requests.day, 0, requests.user, requests.task_type, requests.provider,
    requests.model, 0, count(*), count(*), count(*), count(*), sum(input_tokens), sum(output_tokens),
    sum(cached_tokens), sum(reasoning_tokens), 0, 0, sum(requests.cost_nano)
FROM requests JOIN attempts ON attempts.request = requests.id GROUP BY 1, 2, 4, 5, 6, 7
"""
_LOOKS = (
    "SELECT uid, user, day, task_type, provider, model, labels, count(*), sum(cost_nano) FROM requests "
    "GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7",
    "SELECT provider, model, outcome, count(*), sum(cost_nano), sum(input_tokens), sum(output_tokens), "
    "sum(cached_tokens), sum(reasoning_tokens) FROM attempts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "SELECT uid, day, kind, count(*), sum(nano) FROM entries GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "SELECT request_id, uid, cost_nano FROM requests ORDER BY 1, 2",
)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="script/fleet-move", description="Move a ledger from a file into PostgreSQL and out again: times and sums."
    )
    parser.add_argument("requests", nargs="?", type=int, default=_MANY, metavar="REQUESTS", help=f"default: {_MANY}")
    count = parser.parse_args(arguments).requests
    if count < 1:
        parser.error("at least 1 request")
    with tempfile.TemporaryDirectory(prefix="cortexd-moving-") as place, cluster() as postgresql:
        directory = Path(place)
        first, second = directory / "first.sqlite3", directory / "second.sqlite3"
        database = shared(postgresql.database())
        with _step(f"{count} requests made"):
            _fill(first, count)
        with _step("moved into the database"):
            moved = take_in(first, database)
        with _step("checked there"):
            problems = check(database)
        with _step("written out into a file"):
            written, _ = write_out(database, second)
        with _step("checked there"):
            problems += check(LedgerSettings(path=second))
        equal = all(_seen(first, look) == _seen(second, look) for look in _LOOKS)
    print(f"{moved.requests} requests, {moved.cost_nano} nano-dollars there, {written.cost_nano} back")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"every sum {'equal' if equal else 'IS NOT EQUAL'}, {len(problems)} problems, {peak_mb:.0f} MB at most")
    return 0 if equal and not problems and moved.cost_nano == written.cost_nano else 1


def _fill(path: Path, count: int) -> None:
    async def begin() -> None:
        await (await Ledger.open(LedgerSettings(path=path))).close()

    asyncio.run(begin())
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in (_FILL.format(count=count), _ATTEMPTS, _ENTRIES, _ROLLUPS):
            connection.execute(statement)
    asyncio.run(begin())  # whose sums it is opened with


@contextmanager
def _step(name: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    print(f"{time.monotonic() - start:7.1f} s  {name}", flush=True)


def _seen(path: Path, look: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(look).fetchall()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
