"""What has been spent and is reserved on all machines that share a ledger: rows of sums that each machine adds to.

A machine adds to rows of its own, so that none waits for another's. Who goes by a limit takes its lock before reading.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, select

from cortexd.ledger.engines import Sharing
from cortexd.ledger.engines.driver import send
from cortexd.ledger.keeping.schema import ALL_TIME, EVERYBODY, sums
from cortexd.ledger.records import Totals
from cortexd.ledger.writing.balance import Move
from cortexd.ledger.writing.tallies import Tallies, Tally, Uids

_KEY = ("uid", "period", "host")
_ADDED = ("spent", "reserved", "unknown", "requests")
Wanted = tuple[Uids, str]  # whose, in which period


def lock_name(uids: Uids) -> str:
    """Of the limits that bind these users together."""
    if uids is None:
        return "everybody"
    if len(uids) == 1:
        return str(next(iter(uids)))
    return sha256(",".join(map(str, sorted(uids))).encode()).hexdigest()


class SharedSums:
    """`host`: under which name this machine adds."""

    def __init__(self, connection: Connection, sharing: Sharing, host: str) -> None:
        self._host = host
        given: dict[str, BindParameter[Any]] = {name: bindparam(name) for name in (*_KEY, *_ADDED)}
        adding = sharing.add(sums, _KEY, _ADDED).values(given)
        self._add = str(adding.compile(dialect=connection.dialect))

    def tallies(self, connection: Connection, wanted: Collection[Wanted]) -> Tallies:
        """What is committed, and what this transaction has added."""
        found = Tallies()
        single = {(uids, period) for uids, period in wanted if uids is None or len(uids) == 1}
        rows = _singles(connection, single)
        for uids, period in single:
            found.put(uids, period, Tally(*rows.get((_uid(uids), period), (0, 0, 0))))
        for uids, period in wanted:
            if (uids, period) not in single:
                found.put(uids, period, self.tally(connection, uids, period))
        return found

    def tally(self, connection: Connection, uids: Uids, period: str) -> Tally:
        chosen = (EVERYBODY,) if uids is None else uids
        added = [func.coalesce(func.sum(sums.c[name]), 0) for name in ("spent", "reserved", "unknown")]
        one = select(*added).where(sums.c.period == period, sums.c.uid.in_(chosen))
        return Tally(*map(int, connection.execute(one).one()))

    def add(self, connection: Connection, moves: Sequence[Move], settled: int) -> None:
        """Add what a transaction moves, and the number of requests that it settles."""
        if rows := list(self._rows(moves, settled)):
            send(connection, self._add, rows)

    def totals(self, connection: Connection) -> Totals:
        added = (func.coalesce(func.sum(sums.c[name]), 0) for name in ("requests", "spent"))
        return Totals(*map(int, connection.execute(select(*added).where(_is_everything())).one()))

    def drop(self, connection: Connection, before: str) -> None:
        """Let go of what was spent in months before this one (2026-10); the entries tell it."""
        old = func.substr(sums.c.period, 1, len(before)) < before
        connection.execute(delete(sums).where(sums.c.period != ALL_TIME, old))

    def _rows(self, moves: Sequence[Move], settled: int) -> Iterator[dict[str, Any]]:
        added: defaultdict[tuple[int, str], list[int]] = defaultdict(lambda: [0] * len(_ADDED))
        for held, spent, reserved, unknown in moves:
            for uid in (held.uid, EVERYBODY):
                for period, more in ((held.day, unknown if uid == held.uid else 0), (held.month, 0)):
                    _add_up(added[uid, period], (spent, reserved, more, 0))
            _add_up(added[EVERYBODY, ALL_TIME], (spent, reserved, 0, 0))
        if settled:
            _add_up(added[EVERYBODY, ALL_TIME], (0, 0, 0, settled))
        for (uid, period), figures in sorted(added.items()):  # in the same order on every machine
            yield {"uid": uid, "period": period, "host": self._host, **dict(zip(_ADDED, figures, strict=True))}


def _singles(connection: Connection, wanted: Iterable[Wanted]) -> dict[tuple[int, str], tuple[int, int, int]]:
    uids, periods = {_uid(uids) for uids, _ in wanted}, {period for _, period in wanted}
    if not uids:
        return {}
    added = [func.sum(sums.c[name]) for name in ("spent", "reserved", "unknown")]
    near = select(sums.c.uid, sums.c.period, *added).where(sums.c.uid.in_(uids), sums.c.period.in_(periods))
    found = connection.execute(near.group_by(sums.c.uid, sums.c.period))
    return {(uid, period): (int(spent), int(held), int(unknown)) for uid, period, spent, held, unknown in found}


def _uid(uids: Uids) -> int:
    return EVERYBODY if uids is None else next(iter(uids))


def _is_everything() -> Any:
    return (sums.c.uid == EVERYBODY) & (sums.c.period == ALL_TIME)


def _add_up(figures: list[int], more: Sequence[int]) -> None:
    for place, each in enumerate(more):
        figures[place] += each
