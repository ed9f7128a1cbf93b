"""What a moved ledger adds to sums that are kept: budgets' of this month, statistics, daily sums, totals.

Most of it are sums of days that are long over, to which no machine adds: they go in while the others write. The rest
holds everybody up: requests that were moved before have their rows, and nothing has counted them yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, case, func, insert, literal, select, true

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
from cortexd.ledger.moving import compared
from cortexd.ledger.moving.people import People
from cortexd.ledger.reading import queries
from cortexd.ledger.reading import rollups as rollup_sums
from cortexd.ledger.reading.queries import exact, exact_sum, is_spent
from cortexd.ledger.records import IN_VAIN, Totals
from cortexd.ledger.writing.balance import Move
from cortexd.ledger.writing.books import Held
from cortexd.ledger.writing.shared_sums import SharedSums
from cortexd.ledger.writing.statements import Statements

Row = dict[str, Any]
_MOVED = "moved"  # the name under which sums are added, beside those of machines
_LONG_AGO = "0001-01-01"
_AT_ONCE = 10_000
OF_DAYS = (daily, prunings, rollups, carried)
ONE_EACH = (preferences, own_caps, learned_cells, learned_counts)  # what is there stays


@dataclass(frozen=True, slots=True)
class Kept:
    """All of it, read and worked out. `first`: the month from which budgets still look at what was spent; `long_over`
    and `lately`: the sums, by table, of what is added before, and of what holds the other machines up."""

    totals: Totals
    first: str
    moves: Sequence[Move]
    rows: Mapping[str, Sequence[Row]]
    long_over: Mapping[str, compared.Sums]
    lately: Mapping[str, compared.Sums]

    @property
    def hosts(self) -> list[int]:
        return sorted({row["host"] for row in self.rows[rollups.name]})


def kept(source: Connection, people: People) -> Kept:
    totals = rollup_sums.totals(source)
    first = clamped(date.today(), date.today()).isoformat()[: len("2026-10")]
    rows = {table.name: _rows(source, table, people) for table in OF_DAYS}
    long_over = {daily.name: true(), rollups.name: rollups.c.day < first}
    lately = {prunings.name: true(), rollups.name: rollups.c.day >= first, carried.name: true()}
    return Kept(
        totals,
        first,
        _moves(source, people, first, totals),
        rows,
        compared.of_days(source, long_over, people.person),
        compared.of_days(source, lately, people.person),
    )


def add_long_over(target: Connection, its: Kept) -> None:
    """Days to which nobody adds, in the open transaction. Raises LedgerUnavailable where sums would differ."""
    own: dict[str, ColumnElement[bool]] = {rollups.name: rollups.c.host.in_(its.hosts) & (rollups.c.day < its.first)}
    before = compared.of_days(target, own, int) | {daily.name: {}}
    numbers = list(_put_numbered(target, daily, its.rows[daily.name]))
    _roll_up(target, [row for row in its.rows[rollups.name] if row["day"] < its.first])
    engine = engine_of(target)
    own[daily.name] = engine.among(daily.c.id, literal(engine.key_list(numbers)))  # pruning may add others
    compared.refuse_other(compared.added(before, its.long_over), compared.of_days(target, own, int))


def add_lately(target: Connection, its: Kept) -> None:
    """The rest, in the open transaction, beside which nobody else writes. Raises LedgerUnavailable where sums would
    differ."""
    uids = sorted({row["uid"] for row in its.rows[carried.name]})
    own = {
        prunings.name: true(),
        rollups.name: rollups.c.host.in_(its.hosts) & (rollups.c.day >= its.first),
        carried.name: carried.c.uid.in_(uids),
    }
    before = compared.of_days(target, own, int)
    _put(target, carried, [_unnumbered(row) for row in its.rows[carried.name]])
    last = int(target.scalar(select(func.max(prunings.c.id))) or 0)
    _put(target, prunings, [row | {"id": number} for number, row in enumerate(its.rows[prunings.name], last + 1)])
    _roll_up(target, [row for row in its.rows[rollups.name] if row["day"] >= its.first])
    compared.refuse_other(compared.added(before, its.lately), compared.of_days(target, own, int))
    sums = SharedSums(target.dialect)
    sums.host = _MOVED
    sums.add(target, its.moves, its.totals.total_requests)
    sums.drop(target, its.first)


def _put_numbered(target: Connection, table: Table, rows: Sequence[Row]) -> Iterator[int]:
    """The keys that they get."""
    columns = [column for column in table.c if column.name != "id"]
    lists = engine_of(target).lists(columns)
    assert lists is not None
    put = insert(table).from_select(columns, lists).returning(table.c.id)
    for some in _some(rows):
        yield from target.scalars(put, {column.name: [row[column.name] for row in some] for column in columns})


def _some(rows: Sequence[Row]) -> Iterator[list[Row]]:
    return (list(rows[start : start + _AT_ONCE]) for start in range(0, len(rows), _AT_ONCE))


def _roll_up(target: Connection, rows: Sequence[Row]) -> None:
    for some in _some(rows):
        send(target, Statements(target.dialect).roll_up, some)


def _moves(source: Connection, people: People, first: str, totals: Totals) -> list[Move]:
    """What was spent in days and months that budgets still look at; all the rest is in the totals alone."""
    moves = [*_spent(source, people, first), *_unknown(source, people, first)]
    older = totals.total_cost_nano - sum(spent for _, spent, _, _ in moves)
    return [*moves, (_held(EVERYBODY, _LONG_AGO), older, 0, 0)]


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


def _unnumbered(row: Row) -> Row:
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


def _rows(source: Connection, table: Table, people: People) -> list[Row]:
    changed: dict[str, Callable[[int], int]] = {"uid": people.person, "host": people.host}
    order = select(table).order_by(*table.primary_key)
    return [
        {name: changed[name](value) if name in changed else value for name, value in row.items()}
        for row in source.execute(order).mappings()
    ]


def _put(target: Connection, table: Table, rows: Sequence[Row]) -> None:
    if rows:
        target.execute(insert(table), list(rows))
