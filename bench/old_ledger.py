"""A ledger with a long past, made quickly: settled requests, an attempt and three entries each, over many days."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text

PER_DAY = 5_000
USERS = 20

_NUMBERS = "WITH RECURSIVE n(id) AS (SELECT {first} UNION ALL SELECT id + 1 FROM n WHERE id < {last}) "
_REQUESTS = """
INSERT INTO requests (id, uid, user, request_id, caller_chosen, content_hash, task_type, state, instance, lease_until,
    started_at, finished_at, day, month, provider, model, cost_nano, cost_known, labels)
SELECT id, 1000 + id * 7919 % {users}, 'user' || (id * 7919 % {users}), lower(hex(randomblob(10))), 0, randomblob(32),
    'user_chat', 'done', 'bench', at, at, at, substr(at, 1, 10), substr(at, 1, 7), 'claude', 'claude-sonnet-5-5', 5000,
    1, '{{"job": "nightly"}}'
FROM (SELECT id, strftime('%Y-%m-%d %H:%M:%S.000000', '{start}', '+' || ((id - 1) / {per_day}) || ' days') AS at FROM n)
"""
_ATTEMPTS = """
INSERT INTO attempts SELECT id, 1, provider, model, 'ok', cost_nano, 1, 100, 20, 10, 0, 5, 900, '', 300, 400, 0
FROM requests WHERE id BETWEEN {first} AND {last}
"""
_ENTRIES = """
INSERT INTO entries (request, uid, kind, nano, at, day, month)
SELECT id, uid, kind, nano, started_at, day, month FROM requests, (
    SELECT 'reserve' AS kind, 9000 AS nano UNION ALL SELECT 'release', 9000 UNION ALL SELECT 'charge', 5000)
WHERE id BETWEEN {first} AND {last} ORDER BY id
"""
_ROLLUPS = """
INSERT INTO rollups SELECT uid, day, 0, user, task_type, provider, model, 0, count(*), count(*), count(*), count(*),
    100 * count(*), 20 * count(*), 10 * count(*), 5 * count(*), 0, 0, sum(cost_nano)
FROM requests WHERE id BETWEEN {first} AND {last} GROUP BY 1, 2, 4, 5, 6, 7
ON CONFLICT DO UPDATE SET requests = rollups.requests + excluded.requests,
    at_provider = rollups.at_provider + excluded.requests, at_model = rollups.at_model + excluded.requests,
    at_both = rollups.at_both + excluded.requests, input_tokens = rollups.input_tokens + excluded.input_tokens,
    output_tokens = rollups.output_tokens + excluded.output_tokens,
    cached_tokens = rollups.cached_tokens + excluded.cached_tokens,
    reasoning_tokens = rollups.reasoning_tokens + excluded.reasoning_tokens, low = rollups.low + excluded.low
"""
_SHARED = (
    """
INSERT INTO requests (id, uid, "user", request_id, caller_chosen, content_hash, task_type, state, instance, lease_until,
    started_at, finished_at, day, month, provider, model, cost_nano, cost_known, labels)
SELECT id, 1000 + id * 7919 % :users, 'user' || (id * 7919 % :users), md5(CAST(id AS text)), false,
    decode(md5(CAST(id AS text)), 'hex'), 'user_chat', 'done', 'bench', at, at, at, to_char(at, 'YYYY-MM-DD'),
    to_char(at, 'YYYY-MM'), 'claude', 'claude-sonnet-5-5', 5000, true, '{"job": "nightly"}'
FROM (SELECT id, CAST(:start AS timestamp) + (id - 1) / :per_day * interval '1 day' AS at
    FROM generate_series(1, :count) AS id) AS made
""",
    """
INSERT INTO attempts SELECT id, 1, provider, model, 'ok', cost_nano, true, 100, 20, 10, 0, 5, 900, '', 300, 400, false
FROM requests
""",
    """
INSERT INTO entries (request, uid, kind, nano, at, day, month)
SELECT id, uid, kind, nano, started_at, day, month FROM requests,
    (VALUES ('reserve', 9000), ('release', 9000), ('charge', 5000)) AS moves (kind, nano) ORDER BY id
""",
    """
INSERT INTO rollups SELECT uid, day, 0, "user", task_type, provider, model, 0, count(*), count(*), count(*), count(*),
    100 * count(*), 20 * count(*), 10 * count(*), 5 * count(*), 0, 0, sum(cost_nano)
FROM requests GROUP BY 1, 2, 4, 5, 6, 7
""",
    "SELECT setval('request_keys', :count + 1)",
)
_STEP = 50_000


def fill(path: Path, requests: int, start: str = "2024-01-01", per_day: int = PER_DAY) -> None:
    """Add `requests` from `start` on, so many a day, to an empty ledger that nobody has open."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -500000")
        for first in range(1, requests + 1, _STEP):
            last = min(requests, first + _STEP - 1)
            connection.execute("BEGIN")
            for statement in (_NUMBERS + _REQUESTS, _ATTEMPTS, _ENTRIES, _ROLLUPS):
                given = {"first": first, "last": last, "users": USERS, "per_day": per_day, "start": start}
                connection.execute(statement.format(**given))
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def fill_shared(url: str, requests: int, start: str = "2024-01-01", per_day: int = PER_DAY) -> None:
    """The same in a database, whose ledger is empty."""
    engine = create_engine(url, poolclass=NullPool)
    given = {"count": requests, "users": USERS, "per_day": per_day, "start": start}
    with engine.begin() as connection:
        for statement in _SHARED:
            connection.execute(text(statement), given)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
