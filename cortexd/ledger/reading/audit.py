"""The ledger held against itself: every entry added up, every row's cost compared with its own entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from cortexd.ledger.keeping.schema import daily, entries, prunings, requests
from cortexd.ledger.reading.queries import exact, exact_sum, is_release, is_spent
from cortexd.ledger.records import RequestState


@dataclass(frozen=True, slots=True)
class Audit:
    """What the whole ledger adds up to, with the `pruned` requests of which only daily sums are left.

    `wrong_rows`: requests whose cost is not the sum of their own charges; `wrong_days`: the daily sums are
    not those of the requests that were pruned into them.
    """

    requests: int
    pending: int
    charged_nano: int
    reserved_nano: int
    wrong_rows: int
    pruned: int = 0
    wrong_days: bool = False


def audit(connection: Connection) -> Audit:
    """Add up every entry, request by request. Reads the whole ledger."""
    count = pending = charged = reserved = wrong = 0
    for row in connection.execution_options(yield_per=1000).execute(_each_request()):
        charged_here = exact(row.charged_high, row.charged_low)
        count += 1
        pending += row.state == RequestState.PENDING
        charged += charged_here
        reserved += exact(row.reserved_high, row.reserved_low)
        wrong += charged_here != row.cost_nano
    pruned, pruned_nano = _count_and_sum(connection, prunings.c.requests, prunings.c.charged_nano)
    in_days, in_days_nano = _count_and_sum(connection, daily.c.requests, daily.c.cost_nano)
    differ = (in_days, in_days_nano) != (pruned, pruned_nano)
    return Audit(count + pruned, pending, charged + pruned_nano, reserved, wrong, pruned, differ)


def _count_and_sum(connection: Connection, count: ColumnElement[int], nano: ColumnElement[int]) -> tuple[int, int]:
    found, high, low = connection.execute(select(func.sum(count), *exact_sum(nano))).one()
    return int(found or 0), exact(high, low)


def _each_request() -> Any:
    charged = case((is_spent, entries.c.nano), else_=0)
    reserved = case((is_spent, 0), (is_release, -entries.c.nano), else_=entries.c.nano)
    columns = (entries.c.request, *_sum("charged", charged), *_sum("reserved", reserved))
    sums = select(*columns).group_by(entries.c.request).subquery()
    return select(requests.c.state, requests.c.cost_nano, sums).outerjoin_from(
        requests, sums, sums.c.request == requests.c.id
    )


def _sum(name: str, amount: ColumnElement[int]) -> list[ColumnElement[Any]]:
    high, low = exact_sum(amount)
    return [high.label(f"{name}_high"), low.label(f"{name}_low")]
