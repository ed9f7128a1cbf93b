"""Retention: old requests become daily sums, and their rows go. The one path on which entries are deleted.

A chunk at a time, each in a transaction of its own, written down in `prunings`. Every figure stays what it was: the
totals, users' statistics, reports by day and the audit read what is left here beside the rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, case, delete, func, insert, select, update

from cortexd.errors import LedgerUnavailable
from cortexd.ledger.engines import engine_of
from cortexd.ledger.keeping.schema import attempts, daily, entries, outcomes, prunings, requests, resets
from cortexd.ledger.reading import queries, statistics
from cortexd.ledger.records import ProviderStats, Pruned, RequestState, Stats, Totals

MAX_CHUNK = 500  # requests; some 20 ms, for which other writers wait
_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_COUNTS = ("requests", "at_provider", "at_model", "at_both")


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one transaction has pruned."""

    requests: int
    days: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Old:
    """A request about to go: its row, its attempts in order, when it was settled and what its entries charged."""

    row: Row[Any]
    attempts: Sequence[Row[Any]]
    released: int
    charged_nano: int


@dataclass(slots=True)
class _Day:
    """A daily sum in the making; `counts` as the schema explains."""

    counts: list[int] = field(default_factory=lambda: [0] * len(_COUNTS))
    tokens: list[int] = field(default_factory=lambda: [0] * len(_TOKENS))
    cost_nano: int = 0
    cost_known: bool = True


def clamped(before: date, today: date) -> date:
    """The first day to keep: `before`, but never past the first of the month before today's."""
    first = today.replace(day=1)
    return min(before, (first - timedelta(days=1)).replace(day=1))


def together(chunks: Iterable[Chunk]) -> Pruned:
    found = list(chunks)
    return Pruned(sum(chunk.requests for chunk in found), len({day for chunk in found for day in chunk.days}))


def prune_chunk(connection: Connection, before: date) -> Chunk | None:
    """Prune at most MAX_CHUNK settled requests of days before `before`, in the open transaction; None if none are."""
    old = _oldest(connection, before.isoformat())
    if not old:
        return None
    for one in old:
        _refuse_wrong(one)
    connection.execute(insert(daily), list(_daily_rows(old)))
    _carry(connection, old)
    queries.count_pruned(connection, _after_checkpoint(connection, old))
    queries.keep_last_key(connection)
    gone = _delete(connection, engine_of(connection).keys(one.row.id for one in old))
    _audit(connection, before.isoformat(), old, gone)
    _lower_marks(connection)
    return Chunk(len(old), frozenset(one.row.day for one in old))


def _oldest(connection: Connection, before: str) -> list[_Old]:
    settled = (requests.c.day < before) & (requests.c.state != RequestState.PENDING)
    by_age = select(requests).where(settled).order_by(requests.c.day, requests.c.uid).limit(MAX_CHUNK)
    rows = list(connection.execute(by_age))
    keys = engine_of(connection).keys(row.id for row in rows)
    released = case((queries.is_release, entries.c.seq))
    charged = queries.exact_sum(case((queries.is_spent, entries.c.nano), else_=0))
    sums = select(entries.c.request, func.max(released), *charged).where(entries.c.request.in_(keys))
    closed = {row[0]: row[1:] for row in connection.execute(sums.group_by(entries.c.request))}
    tried = defaultdict(list)
    made = select(attempts).where(attempts.c.request.in_(keys)).order_by(attempts.c.request, attempts.c.number)
    for attempt in connection.execute(made):
        tried[attempt.request].append(attempt)
    return [_old(row, tried[row.id], *closed.get(row.id, (None, 0, 0))) for row in rows]


def _old(row: Row[Any], made: Sequence[Row[Any]], released: int | None, high: int, low: int) -> _Old:
    return _Old(row, made, released or 0, queries.exact(high, low))


def _refuse_wrong(one: _Old) -> None:
    """What does not add up is evidence, and stays."""
    if not one.released or one.charged_nano != one.row.cost_nano:
        raise LedgerUnavailable(
            f"nothing is pruned: request {one.row.request_id} of uid {one.row.uid} costs {one.row.cost_nano} "
            f"nano-dollars and its entries say {one.charged_nano}; run cortexctl ledger check"
        )


def _daily_rows(old: Sequence[_Old]) -> Iterator[dict[str, Any]]:
    days: defaultdict[tuple[Any, ...], _Day] = defaultdict(_Day)
    for one in old:
        row = one.row
        seen: set[tuple[str, ...]] = set()
        shares: Sequence[Row[Any] | None] = one.attempts or (None,)
        for share in shares:
            provider, model = (share.provider, share.model) if share else ("", "")
            day = days[row.day, row.uid, row.user, row.task_type, provider, model]
            for place, counted in enumerate(((), ("provider", provider), ("model", model), ("both", provider, model))):
                day.counts[place] += counted not in seen
                seen.add(counted)
            paid = share or row
            day.cost_nano += paid.cost_nano
            day.cost_known &= paid.cost_known
            for place, name in enumerate(_TOKENS):
                day.tokens[place] += (getattr(share, name) if share else 0) or 0
    for key, day in days.items():
        yield from _rows_of(key, day)


def _rows_of(key: tuple[Any, ...], day: _Day) -> Iterator[dict[str, Any]]:
    """One row, and further ones with nothing but the cost that did not fit."""
    names = dict(zip(("day", "uid", "user", "task_type", "provider", "model"), key, strict=True))
    counts = dict(zip((*_COUNTS, *_TOKENS), (*day.counts, *day.tokens), strict=True))
    for nano in statistics.pieces(day.cost_nano):
        yield names | counts | {"cost_nano": nano, "cost_known": day.cost_known}
        counts = dict.fromkeys(counts, 0)


def _carry(connection: Connection, old: Sequence[_Old]) -> None:
    """Keep in each user's statistics what was settled since the last reset."""
    users: defaultdict[int, list[_Old]] = defaultdict(list)
    for one in old:
        users[one.row.uid].append(one)
    for uid, own in users.items():
        since = statistics.carried_until(connection, uid)
        counted = [one for one in own if one.released > since]
        if counted:
            statistics.carry(connection, uid, _stats(counted))


def _stats(old: Sequence[_Old]) -> Stats:
    keys: defaultdict[str, set[int]] = defaultdict(set)
    tokens: defaultdict[str, int] = defaultdict(int)
    cost: defaultdict[str, int] = defaultdict(int)
    for attempt in (attempt for one in old for attempt in one.attempts):
        keys[attempt.provider].add(attempt.request)
        tokens[attempt.provider] += (attempt.input_tokens or 0) + (attempt.output_tokens or 0)
        cost[attempt.provider] += attempt.cost_nano
    by_provider = {name: ProviderStats(len(keys[name]), tokens[name], cost[name]) for name in keys}
    return Stats(len(old), sum(one.charged_nano for one in old), by_provider)


def _after_checkpoint(connection: Connection, old: Sequence[_Old]) -> Totals:
    """What of it the checkpoint has not counted."""
    seq = queries.counted_until(connection)
    late = [one for one in old if one.released > seq]
    return Totals(len(late), sum(one.charged_nano for one in late))


def _delete(connection: Connection, keys: Select[Any]) -> int:
    """The number of entries that are gone."""
    with engine_of(connection).deletable(connection, entries.name):
        gone = connection.execute(delete(entries).where(entries.c.request.in_(keys))).rowcount
    for table in (attempts, outcomes):
        connection.execute(delete(table).where(table.c.request.in_(keys)))
    connection.execute(delete(requests).where(requests.c.id.in_(keys)))
    return gone


def _audit(connection: Connection, before: str, old: Sequence[_Old], gone: int) -> None:
    counts = {"requests": len(old), "entries": gone}
    at = datetime.now(UTC).replace(tzinfo=None)
    for nano in statistics.pieces(sum(one.charged_nano for one in old)):
        connection.execute(insert(prunings), {"at": at, "before": before, "charged_nano": nano, **counts})
        counts = dict.fromkeys(counts, 0)


def _lower_marks(connection: Connection) -> None:
    """Where the newest entries are gone their numbers will be used again: what was counted up to them must say so."""
    newest = queries.last_seq(connection)
    connection.execute(update(resets).where(resets.c.seq > newest).values(seq=newest))
    queries.lower_checkpoint(connection, newest)
