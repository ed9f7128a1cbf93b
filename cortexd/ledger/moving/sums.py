"""What a moved ledger adds to sums that are kept: budgets' of this month, statistics, daily sums, totals.

Nobody else writes meanwhile. Requests that were moved before have their rows, and nothing has counted them yet.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from sqlalchemy import Connection, Table, case, func, insert, select

from cortexd.domain.apps import APP
from cortexd.ledger.engines import engine_of
from cortexd.ledger.engines.driver import send
from cortexd.ledger.keeping.retention import clamped
from cortexd.ledger.keeping.schema import (
    EVERYBODY,
    carried,
    daily,
    entries,
    learned_cells,
    learned_counts,
    own_caps,
    owners,
    preferences,
    prunings,
    requests,
    rollups,
)
from cortexd.ledger.moving.people import People
from cortexd.ledger.reading import queries
from cortexd.ledger.reading.queries import exact, exact_sum, is_spent
from cortexd.ledger.records import IN_VAIN, Totals
from cortexd.ledger.writing.balance import Move
from cortexd.ledger.writing.books import Held
from cortexd.ledger.writing.shared_sums import SharedSums
from cortexd.ledger.writing.statements import Statements

_MOVED = "moved"  # the name under which sums are added, beside those of machines
_LONG_AGO = "0001-01-01"
ONE_EACH = (preferences, own_caps, learned_cells, learned_counts)  # what is there stays


def budgets(source: Connection, target: Connection, people: People, totals: Totals) -> None:
    """What was spent in days and months that budgets still look at; all the rest is in the totals alone."""
    first = clamped(date.today(), date.today()).isoformat()[: len("2026-10")]
    moves = [*_spent(source, people, first), *_unknown(source, people, first)]
    older = totals.total_cost_nano - sum(spent for _, spent, _, _ in moves)
    moves.append((_held(EVERYBODY, _LONG_AGO), older, 0, 0))
    sums = SharedSums(target.dialect)
    sums.host = _MOVED
    sums.add(target, moves, totals.total_requests)
    sums.drop(target, first)


def _spent(source: Connection, people: People, first: str) -> list[Move]:
    """By user, day and program; what those spent who had a uid before is everybody's, and not the present one's."""
    app = case(
        (requests.c.labels == "{}", ""),
        else_=func.coalesce(engine_of(source).json_value(requests.c.labels, APP), ""),
    )
    own = entries.c.seq > func.coalesce(owners.c.seq, 0)
    keys = (entries.c.uid, entries.c.day, app.label("app"), own.label("own"))
    joined = entries.join(requests, requests.c.id == entries.c.request).outerjoin(owners, owners.c.uid == entries.c.uid)
    found = select(*keys, *exact_sum(entries.c.nano)).select_from(joined).where(is_spent, entries.c.month >= first)
    return [
        (_held(people.person(uid) if its else EVERYBODY, day, name if its else ""), exact(high, low), 0, 0)
        for uid, day, name, its, high, low in source.execute(found.group_by(*keys))
    ]


def _unknown(source: Connection, people: People, first: str) -> list[Move]:
    in_doubt = (requests.c.month >= first, requests.c.state.in_(IN_VAIN), ~requests.c.cost_known)
    keys = (requests.c.uid, requests.c.day)
    found = select(*keys, *exact_sum(requests.c.cost_nano)).where(*in_doubt).group_by(*keys)
    return [(_held(people.person(uid), day), 0, 0, exact(high, low)) for uid, day, high, low in source.execute(found)]


def _held(uid: int, day: str, app: str = "") -> Held:
    return Held(0, uid, day, day[: len("2026-10")], 0, app=app)


def days(source: Connection, target: Connection, people: People) -> None:
    """What is kept by day of requests that are there and of those that were pruned; counters since the last reset."""
    for table in (daily, carried):
        _put(target, table, [_unnumbered(row) for row in _rows(source, table, people)])
    last = int(target.scalar(select(func.max(prunings.c.id))) or 0)
    noted = [row | {"id": number} for number, row in enumerate(_rows(source, prunings, people), last + 1)]
    _put(target, prunings, noted)
    if rolled := _rows(source, rollups, people):
        send(target, Statements(target.dialect).roll_up, rolled)


def _unnumbered(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"}


def persons(source: Connection, target: Connection, people: People) -> None:
    """Names, wishes, caps and what was learned, as far as nothing is known here."""
    last = queries.last_seq(target)
    known = set(target.scalars(select(owners.c.uid)))
    rows = [row for row in _rows(source, owners, people) if row["uid"] not in known]
    _put(target, owners, [row | {"seq": last if row["seq"] else 0} for row in rows])
    for table in ONE_EACH:
        _add_missing(source, target, table, people)


def _add_missing(source: Connection, target: Connection, table: Table, people: People) -> None:
    key = [column.name for column in table.primary_key]
    known = {tuple(row) for row in target.execute(select(*table.primary_key))}
    rows = _rows(source, table, people)
    _put(target, table, [row for row in rows if tuple(row[name] for name in key) not in known])


def _rows(source: Connection, table: Table, people: People) -> list[dict[str, Any]]:
    changed: dict[str, Callable[[int], int]] = {"uid": people.person, "host": people.host}
    order = select(table).order_by(*table.primary_key)
    return [
        {name: changed[name](value) if name in changed else value for name, value in row.items()}
        for row in source.execute(order).mappings()
    ]


def _put(target: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        target.execute(insert(table), rows)
