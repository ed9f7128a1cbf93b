"""Retention: old requests become daily sums, and their rows go. The one path on which entries are deleted.

A chunk at a time, each in a transaction of its own, written down in `prunings`. Every figure stays what it was:
rollups have long counted what goes, and reports by hour or label read what is left here beside the rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection

from cortexd.domain.safe_values import INT64_MAX
from cortexd.errors import LedgerUnavailable
from cortexd.ledger.engines import engine_of
from cortexd.ledger.engines.driver import Prepared
from cortexd.ledger.keeping import prune_statements as statements
from cortexd.ledger.keeping.kept import clamped as clamped
from cortexd.ledger.keeping.prune_statements import KEY, Attempt, Request
from cortexd.ledger.keeping.schema import entries
from cortexd.ledger.reading import queries, statistics
from cortexd.ledger.reading.rollups import COUNTS, TOKENS

MAX_CHUNK = 50  # requests
_SUMS = (*COUNTS, *TOKENS)
_Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one transaction prunes: settled requests, which nothing changes any more, as they were read."""

    before: str
    old: Sequence[Old]
    daily: Sequence[Mapping[str, Any]]

    @property
    def days(self) -> frozenset[str]:
        return frozenset(one.row.day for one in self.old)


@dataclass(frozen=True, slots=True)
class Old:
    """A request about to go: its row, its attempts in order, when it was settled and what its entries charged."""

    row: Request
    attempts: Sequence[Attempt]
    released: int
    charged_nano: int


@dataclass(slots=True)
class _Day:
    """A daily sum in the making; `counts` as the schema explains."""

    counts: list[int] = field(default_factory=lambda: [0] * len(COUNTS))
    tokens: list[int] = field(default_factory=lambda: [0] * len(TOKENS))
    cost_nano: int = 0
    cost_known: bool = True


def read_chunk(connection: Connection, before: date, at_most: int) -> Chunk | None:
    """At most so many (and MAX_CHUNK) settled requests of days before `before`, added up; None if there are none. Only
    reads.
    """
    return _oldest(connection, statements.OLDEST, before, at_most)


def fold(connection: Connection, keys: Sequence[int]) -> None:
    """Put daily sums in the place of these requests, at most MAX_CHUNK, in the open transaction. They cost nothing:
    what is left is counted, whatever its day, and no budget is concerned.
    """
    chosen = engine_of(connection).key_list(keys)
    chunk = _chunk(connection, "", statements.FREE.rows(connection, keys=chosen, at_most=MAX_CHUNK))
    if chunk is not None:
        prune_chunk(connection, chunk)


def prune_read(connection: Connection, chunk: Chunk, before: date) -> Chunk | None:
    """Prune what `read_chunk` has read; where other machines may have been quicker, what is there now and nobody is at.
    What it was."""
    shared = engine_of(connection).sharing is not None
    there = _oldest(connection, statements.UNLOCKED, before, len(chunk.old)) if shared else chunk
    if there is not None:
        prune_chunk(connection, there)
    return there


def prune_chunk(connection: Connection, chunk: Chunk) -> None:
    """Put daily sums in the place of these requests, in the open transaction."""
    keys = [one.row.id for one in chunk.old]
    for row in chunk.daily:
        _add_up(connection, row)
    if queries.last_key(connection) in keys:
        queries.keep_last_key(connection)
    gone = _delete(connection, keys)
    _audit(connection, chunk, gone)
    _lower_marks(connection, max(one.released for one in chunk.old))


def _oldest(connection: Connection, chosen: Prepared, before: date, at_most: int) -> Chunk | None:
    day = before.isoformat()
    return _chunk(connection, day, chosen.rows(connection, before=day, at_most=min(at_most, MAX_CHUNK)))


def _chunk(connection: Connection, before: str, found: Sequence[_Row]) -> Chunk | None:
    old = _with_their_own(connection, [Request(*row) for row in found])
    for one in old:
        _refuse_wrong(one)
    return Chunk(before, old, list(_daily_rows(old))) if old else None


def _with_their_own(connection: Connection, rows: Sequence[Request]) -> list[Old]:
    keys = engine_of(connection).key_list(row.id for row in rows)
    closed = {row[0]: row[1:] for row in statements.CLOSED.rows(connection, keys=keys)}
    tried = defaultdict(list)
    for attempt in map(Attempt._make, statements.TRIED.rows(connection, keys=keys)):
        tried[attempt.request].append(attempt)
    return [_old(row, tried[row.id], *closed.get(row.id, (0, 0, 0))) for row in rows]


def _old(row: Request, made: Sequence[Attempt], released: int, high: int, low: int) -> Old:
    return Old(row, made, released, queries.exact(high, low))


def _refuse_wrong(one: Old) -> None:
    """What does not add up is evidence, and stays."""
    if not one.released or one.charged_nano != one.row.cost_nano:
        raise LedgerUnavailable(
            f"nothing is pruned: request {one.row.request_id} of uid {one.row.uid} costs {one.row.cost_nano} "
            f"nano-dollars and its entries say {one.charged_nano}; run cortexctl ledger check"
        )


def _daily_rows(old: Sequence[Old]) -> Iterator[dict[str, Any]]:
    days: defaultdict[tuple[Any, ...], _Day] = defaultdict(_Day)
    for one in old:
        row = one.row
        seen: set[tuple[str, ...]] = set()
        shares: Sequence[Attempt | None] = one.attempts or (None,)
        for share in shares:
            provider, model = (share.provider, share.model) if share else ("", "")
            day = days[row.day, row.uid, row.user, row.task_type, provider, model, row.host]
            for place, counted in enumerate(((), ("provider", provider), ("model", model), ("both", provider, model))):
                day.counts[place] += counted not in seen
                seen.add(counted)
            paid = share or row
            day.cost_nano += paid.cost_nano
            day.cost_known &= bool(paid.cost_known)
            for place, used in enumerate(share.tokens if share else ()):
                day.tokens[place] += used or 0
    for key, day in days.items():
        yield from _rows_of(key, day)


def _rows_of(key: tuple[Any, ...], day: _Day) -> Iterator[dict[str, Any]]:
    """One row, and further ones with nothing but the cost that did not fit."""
    names = dict(zip(KEY, key, strict=True))
    counts = dict(zip(_SUMS, (*day.counts, *day.tokens), strict=True))
    for nano in statistics.pieces(day.cost_nano):
        yield names | counts | {"cost_nano": nano, "cost_known": day.cost_known}
        counts = dict.fromkeys(counts, 0)


def _add_up(connection: Connection, row: Mapping[str, Any]) -> None:
    """Add to the daily sum that is there already; where it is not, or cannot hold more, begin one."""
    there = statements.WITH_ROOM.scalar(connection, **row)
    if there is None:
        statements.NEW_DAY.run(connection, **row)
        return
    more = {f"more_{name}": row[name] for name in (*_SUMS, "cost_nano")}
    statements.ADD_UP.run(connection, there=there, more_known=row["cost_known"], **more)


def _delete(connection: Connection, keys: Sequence[int]) -> int:
    """The number of entries that are gone."""
    chosen = engine_of(connection).key_list(keys)
    with engine_of(connection).deletable(connection, entries.name):
        gone = statements.DELETE_ENTRIES.run(connection, keys=chosen)
    for beside in statements.DELETE_BESIDE:
        beside.run(connection, keys=chosen)
    if statements.DELETE_REQUESTS.run(connection, keys=chosen) != len(keys):
        raise LedgerUnavailable("others prune the same requests; nothing is pruned twice")
    return gone


def _audit(connection: Connection, chunk: Chunk, gone: int) -> None:
    counts = {"requests": len(chunk.old), "entries": gone}
    for nano in statistics.pieces(sum(one.charged_nano for one in chunk.old)):
        _write_down(connection, chunk.before, {"charged_nano": nano, **counts})
        counts = dict.fromkeys(counts, 0)


def _write_down(connection: Connection, before: str, counts: Mapping[str, int]) -> None:
    """Add to the day's last row where that is of the same pruning and can hold more. Each gets a higher number."""
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    day = len("2026-11-23")
    for last, of, at, charged in statements.LAST_PRUNING.rows(connection):
        if (of, str(at)[:day]) == (before, now[:day]) and charged <= INT64_MAX - counts["charged_nano"]:
            more = {f"more_{name}": number for name, number in counts.items()}
            statements.MORE_PRUNED.run(connection, last=last, now=now, **more)
            return
    statements.NEW_PRUNING.run(connection, at=now, before=before, **counts)


def _lower_marks(connection: Connection, gone: int) -> None:
    """Where the newest entries are gone their numbers will be used again: what was counted up to them must say so."""
    newest = queries.last_seq(connection)
    if newest > gone:
        return
    statements.LOWER_MARKS.run(connection, newest=newest)
