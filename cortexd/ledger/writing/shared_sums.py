"""What has been spent and is reserved on all machines that share a ledger: rows of sums that each machine adds to.

A machine adds to rows of its own, so that none waits for another's. Who goes by a limit takes its lock before reading.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    Dialect,
    Select,
    Text,
    any_,
    cast,
    delete,
    func,
    select,
)

from cortexd.ledger.engines import Asked
from cortexd.ledger.engines.driver import Prepared, given, send
from cortexd.ledger.keeping.schema import ALL_TIME, EVERYBODY, sums
from cortexd.ledger.records import AppOf, Limit, Period, Totals, Whose
from cortexd.ledger.writing.balance import Move
from cortexd.ledger.writing.statements import adding
from cortexd.ledger.writing.tallies import Tallies, Tally

_KEY = ("uid", "period", "app", "host")
_ADDED = ("spent", "reserved", "unknown", "requests")
_TALLIED = ("spent", "reserved", "unknown")
ROWS_EACH = 32  # of a sum, over which machines are spread
Wanted = tuple[Whose, str]  # whose, in which period
_Name = tuple[int, str]  # of a single row of each machine: uid and app


def wanted_by(limit: Limit, day: str) -> Wanted:
    """The sum that a limit goes by on that day."""
    return limit.whose, day if limit.period is Period.DAY else day[:7]


def chosen(whose: Whose) -> tuple[Sequence[int], str]:
    """Of which uids and of which program the rows are that are theirs."""
    if (name := _name(whose)) is not None:
        return (name[0],), name[1]
    return sorted(whose or ()), ""  # type: ignore[arg-type]


def lock_name(whose: Whose) -> str:
    """Of the limits that bind these together."""
    if (name := _name(whose)) is not None:
        return "{}/{}".format(*name)
    return sha256(",".join(map(str, sorted(whose or ()))).encode()).hexdigest()


class SharedSums:
    def __init__(self, dialect: Dialect) -> None:
        self.host = ""
        """Under which name this machine adds; it is known once the ledger was reached."""
        self._add = adding(dialect, sums, _KEY, _ADDED)

    def asked(self, connection: Connection, wanted: Collection[Wanted]) -> Asked:
        """What `tallies` needs the rows of."""
        names = [name for whose, _ in wanted if (name := _name(whose)) is not None]
        periods = {period for _, period in wanted}
        uids, apps = {uid for uid, _ in names}, {app for _, app in names}
        return _SINGLES.asked(connection, uids=list(uids), apps=list(apps), periods=list(periods))

    def tallies(self, connection: Connection, wanted: Collection[Wanted], singles: Iterable[Sequence[Any]]) -> Tallies:
        """What is committed, and what this transaction has added."""
        found = Tallies()
        rows = {((uid, app), period): tuple(map(int, added)) for uid, app, period, *added in singles}
        for whose, period in wanted:
            name = _name(whose)
            tally = (
                self.tally(connection, whose, period) if name is None else Tally(*rows.get((name, period), (0, 0, 0)))
            )
            found.put(whose, period, tally)
        return found

    def tally(self, connection: Connection, whose: Whose, period: str) -> Tally:
        name = _name(whose)
        chosen = [sums.c.period == period, sums.c.app == (name[1] if name else "")]
        chosen.append(sums.c.uid == name[0] if name else sums.c.uid.in_(whose or ()))
        added = [func.coalesce(func.sum(sums.c[each]), 0) for each in _TALLIED]
        return Tally(*map(int, connection.execute(select(*added).where(*chosen)).one()))

    def add(self, connection: Connection, moves: Sequence[Move], settled: int) -> None:
        """Add what a transaction moves, and the number of requests that it settles."""
        if rows := list(self.rows(moves, settled)):
            send(connection, self._add, rows)

    def totals(self, connection: Connection) -> Totals:
        added = (func.coalesce(func.sum(sums.c[name]), 0) for name in ("requests", "spent"))
        return Totals(*map(int, connection.execute(select(*added).where(_is_everything())).one()))

    def drop(self, connection: Connection, before: str) -> None:
        """Let go of what was spent in months before this one (2026-10); the entries tell it."""
        old = func.substr(sums.c.period, 1, len(before)) < before
        connection.execute(delete(sums).where(sums.c.period != ALL_TIME, old))

    def rows(self, moves: Sequence[Move], settled: int) -> Iterator[dict[str, Any]]:
        added: defaultdict[tuple[int, str, str], list[int]] = defaultdict(lambda: [0] * len(_ADDED))
        for held, spent, reserved, unknown in moves:
            _add_up(added[held.uid, held.day, ""], (0, 0, unknown, 0))
            for uid, app in {(held.uid, ""), (EVERYBODY, ""), (held.uid, held.app)}:
                for period in (held.day, held.month):
                    _add_up(added[uid, period, app], (spent, reserved, 0, 0))
            _add_up(added[EVERYBODY, ALL_TIME, ""], (spent, reserved, 0, 0))
        if settled:
            _add_up(added[EVERYBODY, ALL_TIME, ""], (0, 0, 0, settled))
        for key, figures in sorted(added.items(), reverse=True):  # alike on every machine, what all of them need last
            yield dict(zip((*_KEY, *_ADDED), (*key, self.host, *figures), strict=True))


def _singles() -> Select[Any]:
    """Single rows' sums, and some that nobody wants."""
    lists = (("uid", "uids", BigInteger), ("app", "apps", Text), ("period", "periods", Text))
    near = (sums.c[name] == any_(cast(given(values), ARRAY(kind))) for name, values, kind in lists)
    columns = (sums.c.uid, sums.c.app, sums.c.period)
    return select(*columns, *(func.sum(sums.c[name]) for name in _TALLIED)).where(*near).group_by(*columns)


_SINGLES = Prepared(lambda _engine: _singles())


def _name(whose: Whose) -> _Name | None:
    """Of those whose sums are single rows; None where they are several users' together."""
    if isinstance(whose, AppOf):
        return whose.uid, whose.app
    if whose is None:
        return EVERYBODY, ""
    return (next(iter(whose)), "") if len(whose) == 1 else None


def _is_everything() -> Any:
    return (sums.c.uid == EVERYBODY) & (sums.c.period == ALL_TIME)


def _add_up(figures: list[int], more: Sequence[int]) -> None:
    for place, each in enumerate(more):
        figures[place] += each
