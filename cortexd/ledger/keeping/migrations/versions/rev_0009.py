"""Rollups: sums of all settled requests by user and day, so that no report or budget adds up single entries.

Filled day by day, so that no statement takes long: some five seconds for a million requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_MAX = 2**63 - 1
_KEY = ("uid", "day", "former", "user", "task_type", "provider", "model", "host")
_SUMS = ("requests", "at_provider", "at_model", "at_both", "input_tokens", "output_tokens", "cached_tokens",
         "reasoning_tokens", "unknown", "high", "low")  # fmt: skip
_TOKENS = _SUMS[4:8]

_DAYS = "SELECT DISTINCT day FROM requests UNION SELECT DISTINCT day FROM daily"
_FIRST = (
    "CASE WHEN a.number IS NULL OR a.number = 1 OR NOT EXISTS (SELECT 1 FROM attempts AS b "
    "WHERE b.request = a.request AND b.number < a.number AND {same}) THEN 1 ELSE 0 END"
)
_OF_REQUESTS = """
SELECT r.uid AS uid, r.day AS day,
    CASE WHEN o.seq > 0 AND (SELECT max(e.seq) FROM entries AS e WHERE e.request = r.id) <= o.seq THEN 1 ELSE 0 END
    AS former, r."user" AS "user", r.task_type AS task_type, coalesce(a.provider, '') AS provider,
    coalesce(a.model, '') AS model, r.host AS host,
    CASE WHEN a.number IS NULL OR a.number = 1 THEN 1 ELSE 0 END AS requests,
    {at_provider} AS at_provider, {at_model} AS at_model, {at_both} AS at_both, {tokens},
    CASE WHEN a.number IS NULL THEN CASE WHEN r.cost_known THEN 0 ELSE 1 END WHEN a.cost_known THEN 0 ELSE 1 END
    AS unknown, CASE WHEN a.number IS NULL THEN r.cost_nano ELSE a.cost_nano END AS cost_nano
FROM requests AS r LEFT JOIN attempts AS a ON a.request = r.id LEFT JOIN owners AS o ON o.uid = r.uid
WHERE r.day = :day AND r.state <> 'pending'
"""
_OF_DAILY = """
SELECT uid, day, 0, "user", task_type, provider, model, host, requests, at_provider, at_model, at_both, {tokens},
    CASE WHEN cost_known THEN 0 ELSE 1 END, cost_nano
FROM daily WHERE day = :day
"""
_FRESH_BY_PROVIDER = """
SELECT a.provider, count(DISTINCT a.request), sum(coalesce(a.input_tokens, 0) + coalesce(a.output_tokens, 0)),
    sum(a.cost_nano >> 32), sum(a.cost_nano & 4294967295)
FROM entries AS e JOIN attempts AS a ON a.request = e.request
WHERE e.uid = :uid AND e.seq > :seq AND e.kind = 'release' GROUP BY a.provider
"""
_FRESH_IN_ALL = """
SELECT sum(CASE WHEN kind = 'release' THEN 1 ELSE 0 END), 0,
    sum(CASE WHEN kind IN ('charge', 'adjust') THEN nano >> 32 ELSE 0 END),
    sum(CASE WHEN kind IN ('charge', 'adjust') THEN nano & 4294967295 ELSE 0 END)
FROM entries WHERE uid = :uid AND seq > :seq
"""
_CARRIED = """
SELECT provider, sum(requests), sum(tokens), sum(cost_nano >> 32), sum(cost_nano & 4294967295)
FROM carried WHERE uid = :uid GROUP BY provider
"""
_ROLLED = """
SELECT provider, sum(at_provider), sum(input_tokens + output_tokens), sum(high), sum(low), sum(requests)
FROM rollups WHERE uid = :uid GROUP BY provider
"""
Sums = dict[str | None, list[int]]  # by provider, None over all: requests, tokens, nano-dollars


def upgrade() -> None:
    _create()
    connection = op.get_bind()
    days = connection.scalars(sa.text(_DAYS)).all()
    fill = sa.text(_fill())
    for day in days:
        connection.execute(fill, {"day": day})
    _carry(connection)
    op.drop_table("resets")
    op.drop_index("entries_uid_month_day", "entries")
    op.drop_index("entries_uid_seq", "entries")
    connection.execute(sa.text("DELETE FROM meta WHERE name = 'totals'"))


def _create() -> None:
    op.create_table(
        "rollups",
        *(
            sa.Column(name, sa.BigInteger if name in ("uid", "former", "host") else sa.Text, primary_key=True,
                      autoincrement=False)
            for name in _KEY
        ),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS),
        sqlite_with_rowid=False,
    )  # fmt: skip


def _fill() -> str:
    """One day's rollups, of requests that are there and of those that were pruned."""
    provider, model = "b.provider = a.provider", "b.model = a.model"
    of_requests = _OF_REQUESTS.format(
        at_provider=_FIRST.format(same=provider),
        at_model=_FIRST.format(same=model),
        at_both=_FIRST.format(same=f"{provider} AND {model}"),
        tokens=", ".join(f"coalesce(a.{name}, 0) AS {name}" for name in _TOKENS),
    )
    rows = f"{of_requests} UNION ALL {_OF_DAILY.format(tokens=', '.join(_TOKENS))}"
    keys = ", ".join(f'"{name}"' for name in _KEY)
    added = ", ".join(f"sum({name})" for name in _SUMS[:-2])
    cost = "sum(cost_nano >> 32), sum(cost_nano & 4294967295)"
    columns = ", ".join(f'"{name}"' for name in (*_KEY, *_SUMS))
    source = f"SELECT {keys}, {added}, {cost} FROM ({rows}) AS found GROUP BY {keys}"  # noqa: S608
    return f"INSERT INTO rollups ({columns}) {source}"


def _carry(connection: sa.Connection) -> None:
    """Keep each user's statistics: what was carried and came after that, as what that is more than his rollups."""
    marks = connection.execute(sa.text("SELECT uid, seq FROM resets")).all()
    for uid, seq in marks:
        stats = _added(_read(connection, _CARRIED, uid=uid), _fresh(connection, uid, seq))
        more = _added(stats, {name: [-each for each in one] for name, one in _rolled(connection, uid).items()})
        connection.execute(sa.text("DELETE FROM carried WHERE uid = :uid"), {"uid": uid})
        for row in (row for name, one in more.items() for row in _rows(uid, name, one)):
            connection.execute(_CARRY, row)


_CARRY = sa.text(
    "INSERT INTO carried (uid, provider, requests, tokens, cost_nano) "
    "VALUES (:uid, :provider, :requests, :tokens, :cost_nano)"
)


def _fresh(connection: sa.Connection, uid: int, seq: int) -> Sums:
    found = _read(connection, _FRESH_BY_PROVIDER, uid=uid, seq=seq)
    [(requests, tokens, high, low)] = connection.execute(sa.text(_FRESH_IN_ALL), {"uid": uid, "seq": seq})
    return {**found, None: [int(requests or 0), tokens, _exact(high, low)]}


def _rolled(connection: sa.Connection, uid: int) -> Sums:
    found: Sums = {None: [0, 0, 0]}
    for provider, at, tokens, high, low, requests in connection.execute(sa.text(_ROLLED), {"uid": uid}):
        found[None][0] += int(requests)
        found[None][2] += _exact(high, low)
        if provider:
            found[provider] = [int(at), int(tokens), _exact(high, low)]
    return found


def _read(connection: sa.Connection, statement: str, **given: int) -> Sums:
    rows = connection.execute(sa.text(statement), given)
    return {name: [int(count), int(tokens), _exact(high, low)] for name, count, tokens, high, low in rows}


def _exact(high: Any, low: Any) -> int:
    return (int(high or 0) << 32) + int(low or 0)


def _added(one: Sums, other: Sums) -> Sums:
    zero = [0, 0, 0]
    names = {**one, **other}
    return {name: [a + b for a, b in zip(one.get(name, zero), other.get(name, zero), strict=True)] for name in names}


def _rows(uid: int, provider: str | None, one: list[int]) -> Iterator[dict[str, Any]]:
    """One, and further ones with the cost that does not fit into it; none for nothing."""
    requests, tokens, cost = one
    while requests or tokens or cost:
        part = max(-_MAX, min(cost, _MAX))
        yield {"uid": uid, "provider": provider, "requests": requests, "tokens": tokens, "cost_nano": part}
        requests, tokens, cost = 0, 0, cost - part
