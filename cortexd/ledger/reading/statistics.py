"""A user's statistics since the last reset: what is carried over as sums, and the entries after that.

A user's row in `resets` says up to which entry all is carried, or forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, distinct, func, insert, select

from cortexd.domain.safe_values import INT64_MAX
from cortexd.ledger.engines import engine_of
from cortexd.ledger.engines.driver import Prepared, given
from cortexd.ledger.keeping.schema import attempts, carried, daily, entries, prunings, resets
from cortexd.ledger.reading.queries import count_and_cost, exact, exact_sum, is_release, last_seq, totals
from cortexd.ledger.records import ProviderStats, Stats

CARRY_AFTER = 1000  # requests; a reading adds up no more than these before they are carried over
_NONE = ProviderStats(0, 0, 0)


def _own_carried() -> Select[Any]:
    sums = (func.sum(carried.c.requests), func.sum(carried.c.tokens), *exact_sum(carried.c.cost_nano))
    own = select(carried.c.provider, *sums).where(carried.c.uid == given("uid"))
    return own.group_by(carried.c.provider)


_COLUMNS = ("uid", "provider", "requests", "tokens", "cost_nano")
_carried_until = Prepared(lambda _engine: select(resets.c.seq).where(resets.c.uid == given("uid")))
_read_carried = Prepared(lambda _engine: _own_carried())
_forget = Prepared(lambda _engine: delete(carried).where(carried.c.uid == given("uid")))
_add_carried = Prepared(lambda _engine: insert(carried).values({name: given(name) for name in _COLUMNS}))


@dataclass(frozen=True, slots=True)
class Reading:
    """`fresh`: what entries after `since` and up to `until` add to what was carried; `pruning`: the last before it."""

    stats: Stats
    fresh: Stats
    since: int
    until: int
    pruning: int


def read(connection: Connection, uid: int, among: ColumnElement[bool] | None = None) -> Reading:
    """`among`: of which entries alone."""
    since = carried_until(connection, uid)
    chosen = (entries.c.uid == uid) & (entries.c.seq > since)
    chosen = chosen if among is None else chosen & among
    overall = count_and_cost(connection, chosen)
    fresh = Stats(overall.total_requests, overall.total_cost_nano, _by_provider(connection, chosen))
    stats = together(_carried(connection, uid), fresh)
    return Reading(stats, fresh, since, last_seq(connection), _last_pruning(connection))


def everybody(connection: Connection) -> Stats:
    """All users, all time."""
    overall = totals(connection)[1]
    kept = Stats(0, 0, _by_provider(connection, entries.c.seq > 0))
    pruned = Stats(overall.total_requests, overall.total_cost_nano, _pruned_by_provider(connection))
    return together(kept, pruned)


def carry_reading(connection: Connection, uid: int, reading: Reading) -> None:
    """Carry what was read, so that the next reading need not add it up again; not after a reset or a pruning.

    Where others write too it is read once more: entries of lower numbers may have come since."""
    if engine_of(connection).sharing:
        reading = read(connection, uid)
    if (carried_until(connection, uid), _last_pruning(connection)) != (reading.since, reading.pruning):
        return
    carry(connection, uid, reading.fresh)
    connection.execute(delete(resets).where(resets.c.uid == uid))
    connection.execute(insert(resets), {"uid": uid, "seq": reading.until})


def carry(connection: Connection, uid: int, more: Stats) -> None:
    """Add to what is carried for `uid`."""
    now = together(_carried(connection, uid), more)
    forget(connection, uid)
    overall = ProviderStats(now.total_requests, 0, now.total_cost_nano)
    rows = [row for name, one in ((None, overall), *now.providers.items()) for row in _rows(uid, name, one)]
    for row in rows:
        _add_carried.run(connection, **row)


def forget(connection: Connection, uid: int) -> None:
    """Drop what is carried for `uid`; for a reset."""
    _forget.run(connection, uid=uid)


def carried_until(connection: Connection, uid: int) -> int:
    """The seq of the last entry that a user's statistics need not read."""
    return _carried_until.scalar(connection, uid=uid) or 0


def pieces(nano: int) -> Iterator[int]:
    """An amount in parts that a row can hold, at least one."""
    while nano > INT64_MAX:
        yield INT64_MAX
        nano -= INT64_MAX
    yield nano


def _rows(uid: int, provider: str | None, found: ProviderStats) -> list[dict[str, Any]]:
    first, *others = pieces(found.cost_nano)
    one: dict[str, Any] = {"uid": uid, "provider": provider, "requests": 0, "tokens": 0}
    counts = {"requests": found.requests, "tokens": found.tokens, "cost_nano": first}
    return [one | counts, *(one | {"cost_nano": nano} for nano in others)]


def _carried(connection: Connection, uid: int) -> Stats:
    found = _providers(_read_carried.rows(connection, uid=uid))
    overall = found.pop(None, _NONE)
    return Stats(overall.requests, overall.cost_nano, {name: one for name, one in found.items() if name is not None})


def _by_provider(connection: Connection, chosen: ColumnElement[bool]) -> dict[str, ProviderStats]:
    tokens = func.coalesce(attempts.c.input_tokens, 0) + func.coalesce(attempts.c.output_tokens, 0)
    query = (
        select(
            attempts.c.provider,
            func.count(distinct(attempts.c.request)),
            func.sum(tokens),
            *exact_sum(attempts.c.cost_nano),
        )
        .select_from(entries.join(attempts, attempts.c.request == entries.c.request))
        .where(chosen, is_release)
        .group_by(attempts.c.provider)
    )
    return _providers(connection.execute(query))


def _pruned_by_provider(connection: Connection) -> dict[str, ProviderStats]:
    tokens = func.sum(daily.c.input_tokens + daily.c.output_tokens)
    query = select(daily.c.provider, func.sum(daily.c.at_provider), tokens, *exact_sum(daily.c.cost_nano))
    return _providers(connection.execute(query.where(daily.c.provider != "").group_by(daily.c.provider)))


def _providers(rows: Any) -> dict[Any, ProviderStats]:
    return {
        provider: ProviderStats(int(count), int(used), exact(high, low)) for provider, count, used, high, low in rows
    }


def together(one: Stats, other: Stats) -> Stats:
    """Both added up."""
    names = sorted({*one.providers, *other.providers})
    return Stats(
        one.total_requests + other.total_requests,
        one.total_cost_nano + other.total_cost_nano,
        {name: _added(one.providers, other.providers, name) for name in names},
    )


def _added(one: Mapping[str, ProviderStats], other: Mapping[str, ProviderStats], name: str) -> ProviderStats:
    first, second = one.get(name, _NONE), other.get(name, _NONE)
    cost = first.cost_nano + second.cost_nano
    return ProviderStats(first.requests + second.requests, first.tokens + second.tokens, cost)


def _last_pruning(connection: Connection) -> int:
    return connection.scalar(select(func.max(prunings.c.id))) or 0
