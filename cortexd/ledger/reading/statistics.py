"""A user's statistics since the last reset: his rollups, less what they were then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select

from cortexd.domain.safe_values import INT64_MAX
from cortexd.ledger.engines import engine_of
from cortexd.ledger.keeping.meta_rows import note, noted
from cortexd.ledger.keeping.schema import carried, rollups
from cortexd.ledger.reading.queries import exact, exact_sum, last_seq, settled_seq
from cortexd.ledger.reading.rollups import COST
from cortexd.ledger.records import ProviderStats, Stats

_NONE = ProviderStats(0, 0, 0)
_RESET = "statistics reset {}"  # and the uid: a note of the ledger, which was the last entry then


def read(connection: Connection, uid: int) -> Stats:
    rolled = _rolled(connection, _BY_PROVIDER.where(rollups.c.uid == uid))
    return _together(rolled, _carried(connection, uid))


def everybody(connection: Connection) -> Stats:
    """All users, all time."""
    return _rolled(connection, _BY_PROVIDER)


def reset(connection: Connection, uid: int) -> None:
    """Let that user's statistics begin anew; nobody else settles until the transaction ends."""
    now = _rolled(connection, _BY_PROVIDER.where(rollups.c.uid == uid))
    connection.execute(delete(carried).where(carried.c.uid == uid))
    _take(connection, uid, now)
    if engine_of(connection).sharing is not None:  # else nothing is settled twice
        note(connection, _RESET.format(uid), str(last_seq(connection)))


def corrected(connection: Connection, uid: int, key: int, more: Iterable[Mapping[str, Any]]) -> None:
    """A request that is settled already has `more` in the rollups now. Where that was before its user's statistics
    began anew they do not tell of it: it would be counted in part, and its cost might be less than nothing."""
    reset = noted(connection, _RESET.format(uid))
    if reset is None or settled_seq(connection, key) > int(reset):
        return
    _take(connection, uid, reduce(_together, map(_stats, more), Stats()))


def _take(connection: Connection, uid: int, found: Stats) -> None:
    """Tell a user of so much less than the rollups say."""
    overall = ProviderStats(found.total_requests, 0, found.total_cost_nano)
    rows = [row for name, one in ((None, overall), *found.providers.items()) for row in _less(uid, name, one)]
    connection.execute(insert(carried), rows)


def _stats(rolled: Mapping[str, Any]) -> Stats:
    """What one row of rollups says."""
    cost, tokens = exact(rolled["high"], rolled["low"]), rolled["input_tokens"] + rolled["output_tokens"]
    one = ProviderStats(rolled["at_provider"], tokens, cost)
    return Stats(rolled["requests"], cost, {rolled["provider"]: one} if rolled["provider"] else {})


def _by_provider() -> Select[Any]:
    counts = (func.sum(rollups.c[name]) for name in ("requests", "at_provider"))
    tokens = func.sum(rollups.c.input_tokens + rollups.c.output_tokens)
    return select(rollups.c.provider, *counts, tokens, *COST).group_by(rollups.c.provider)


_BY_PROVIDER = _by_provider()


def _rolled(connection: Connection, query: Select[Any]) -> Stats:
    """A request that was tried nowhere, as all that were lost, is under no provider."""
    rows = [(row[0], *map(int, row[1:4]), exact(*row[4:])) for row in connection.execute(query)]
    by_provider = {name: ProviderStats(at, tokens, cost) for name, _, at, tokens, cost in rows if name}
    return Stats(sum(row[1] for row in rows), sum(row[4] for row in rows), by_provider)


def pieces(nano: int) -> Iterator[int]:
    """An amount in parts that a row can hold, at least one."""
    while nano > INT64_MAX:
        yield INT64_MAX
        nano -= INT64_MAX
    yield nano


def _less(uid: int, provider: str | None, found: ProviderStats) -> list[dict[str, Any]]:
    first, *others = pieces(found.cost_nano)
    one: dict[str, Any] = {"uid": uid, "provider": provider, "requests": 0, "tokens": 0}
    counts = {"requests": -found.requests, "tokens": -found.tokens, "cost_nano": -first}
    return [one | counts, *(one | {"cost_nano": -nano} for nano in others)]


def _carried(connection: Connection, uid: int) -> Stats:
    sums = (func.sum(carried.c.requests), func.sum(carried.c.tokens), *exact_sum(carried.c.cost_nano))
    own = select(carried.c.provider, *sums).where(carried.c.uid == uid).group_by(carried.c.provider)
    found = {row[0]: ProviderStats(int(row[1]), int(row[2]), exact(*row[3:])) for row in connection.execute(own)}
    overall = found.pop(None, _NONE)
    return Stats(overall.requests, overall.cost_nano, found)


def _together(one: Stats, other: Stats) -> Stats:
    names = sorted({*one.providers, *other.providers})
    added = {name: _added(one.providers, other.providers, name) for name in names}
    return Stats(
        one.total_requests + other.total_requests,
        one.total_cost_nano + other.total_cost_nano,
        {name: found for name, found in added.items() if found != _NONE},
    )


def _added(one: Mapping[str, ProviderStats], other: Mapping[str, ProviderStats], name: str) -> ProviderStats:
    first, second = one.get(name, _NONE), other.get(name, _NONE)
    cost = first.cost_nano + second.cost_nano
    return ProviderStats(first.requests + second.requests, first.tokens + second.tokens, cost)
