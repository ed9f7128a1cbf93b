"""What the rollups say: sums of settled requests over days and months, however many those were."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)

from cortexd.ledger.engines.driver import rows_of
from cortexd.ledger.keeping.schema import attempts, daily, requests, rollups
from cortexd.ledger.reading import at_start
from cortexd.ledger.reading.queries import exact, halves
from cortexd.ledger.records import RequestState, Totals

_AT_ONCE = 500  # users in one query
_LONGEST = "-31"  # no month has a day after it
KEY = ("uid", "day", "user", "task_type", "host", "provider", "model")
COUNTS = ("requests", "at_provider", "at_model", "at_both")
TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
COST = (func.sum(rollups.c.high), func.sum(rollups.c.low))  # for `exact`


def spent(connection: Connection, uids: frozenset[int] | None, month: str, day: str | None = None) -> int:
    """Nano-dollars that users have spent in a month ("2026-11"), or in one day of it ("2026-11-23"), without what
    those spent who had their uids before; None: everybody, also those."""
    first, last = (day, day) if day else (f"{month}-01", f"{month}{_LONGEST}")
    when = rollups.c.day.between(first, last)
    if uids is None:
        return _cost(connection, rollups.c.uid.in_(every_uid()) & when)
    now, chosen = when & (rollups.c.former == 0), sorted(uids)
    some = (chosen[start : start + _AT_ONCE] for start in range(0, len(chosen), _AT_ONCE))
    return sum(_cost(connection, rollups.c.uid.in_(part) & now) for part in some)


def totals(connection: Connection) -> Totals:
    """All users, all time."""
    return at_start.totals(rows_of(connection))


def every_uid() -> Select[Any]:
    """From one user to the next by the index: reads a row per user, where DISTINCT would read them all."""
    first = select(func.min(rollups.c.uid).label("uid")).cte("users", recursive=True)
    following = select(func.min(rollups.c.uid)).where(rollups.c.uid > first.c.uid).scalar_subquery()
    users = first.union_all(select(following).where(first.c.uid.is_not(None)))
    return select(users.c.uid).where(users.c.uid.is_not(None))


def wrong(connection: Connection) -> int:
    """How many rollups are not the sums of the requests that are there and of those that were pruned. Reads all."""
    keys = [_ledger.c[name] for name in KEY]
    differ = [func.sum(_ledger.c[name]) != 0 for name in (*COUNTS, *TOKENS)]
    doubts = func.max(_ledger.c.doubt) != func.max(_ledger.c.told)
    cost = func.sum(_ledger.c.high) * (1 << 32) + func.sum(_ledger.c.low) != 0
    found = select(literal(1)).select_from(_ledger).group_by(*keys).having(or_(*differ, doubts, cost)).subquery()
    return int(connection.scalar(select(func.count()).select_from(found)) or 0)


def _cost(connection: Connection, chosen: ColumnElement[bool]) -> int:
    return exact(*connection.execute(select(*COST).where(chosen)).one())


def _first(*same: ColumnElement[bool]) -> ColumnElement[int]:
    """1 for an attempt before which there is none at the same place."""
    earlier = exists().where(_before.c.request == attempts.c.request, _before.c.number < attempts.c.number, *same)
    return case((attempts.c.number == 1, 1), (earlier, 0), else_=1)


def _of_requests() -> Select[Any]:
    untried = attempts.c.number.is_(None)
    keys = [requests.c[name] for name in KEY[:5]] + [func.coalesce(attempts.c[name], "") for name in KEY[5:]]
    provider, model = (_before.c[name] == attempts.c[name] for name in KEY[5:])
    counts = [case((untried | (attempts.c.number == 1), 1), else_=0)]
    counts += [case((untried, 1), else_=_first(*same)) for same in ((provider,), (model,), (provider, model))]
    tokens = [func.coalesce(attempts.c[name], 0) for name in TOKENS]
    known = case((untried, requests.c.cost_known), else_=attempts.c.cost_known)
    cost = case((untried, requests.c.cost_nano), else_=attempts.c.cost_nano)
    source = requests.outerjoin(attempts, attempts.c.request == requests.c.id)
    figures = (*counts, *tokens, case((known, 0), else_=1), literal(0), *halves(cost))
    return _named(*keys, *figures).select_from(source).where(requests.c.state != RequestState.PENDING)


def _of_pruned() -> Select[Any]:
    figures = (*(daily.c[name] for name in (*KEY, *COUNTS, *TOKENS)), case((daily.c.cost_known, 0), else_=1))
    return _named(*figures, literal(0), *halves(daily.c.cost_nano))


def _of_rollups() -> Select[Any]:
    """Taken away again."""
    less = [-rollups.c[name] for name in (*COUNTS, *TOKENS)]
    told = case((rollups.c.unknown > 0, 1), else_=0)
    return _named(*(rollups.c[name] for name in KEY), *less, literal(0), told, -rollups.c.high, -rollups.c.low)


def _named(*columns: ColumnElement[Any]) -> Select[Any]:
    names = (*KEY, *COUNTS, *TOKENS, "doubt", "told", "high", "low")
    return select(*(column.label(name) for name, column in zip(names, columns, strict=True)))


_before = attempts.alias("before")
_ledger = union_all(_of_requests(), _of_pruned(), _of_rollups()).subquery("ledger")
