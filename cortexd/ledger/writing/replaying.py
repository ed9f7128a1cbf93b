"""Booking what a machine's spool has kept: each line once, also where the daemon dies in between.

The number of the last line that is booked stands in the ledger, written by the transaction that books it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, select

from cortexd.domain.people import person
from cortexd.ledger.keeping.meta_rows import note, noted
from cortexd.ledger.keeping.schema import requests
from cortexd.ledger.reading import queries
from cortexd.ledger.records import RequestState
from cortexd.ledger.writing.actions import Action, Book, Replay, Settle
from cortexd.ledger.writing.books import Books, Held
from cortexd.ledger.writing.rows import Lease

_MARK = "spool {}"


@dataclass(frozen=True, slots=True)
class Replaying:
    """`meant`: each action as it is to be done, or None for a line that was booked before."""

    meant: Sequence[Action | None]
    marks: dict[str, int]

    @property
    def todo(self) -> list[Action]:
        return [action for action in self.meant if action is not None]

    def keep(self, connection: Connection) -> None:
        """The lines are booked with the open transaction."""
        for spool, number in self.marks.items():
            note(connection, _MARK.format(spool), str(number))


NO_LINES = Replaying((), {})


def replaying(connection: Connection, actions: Sequence[Action], host: int | None = None) -> Replaying:
    """What of these is still to be done, in the open transaction. `host`: of a machine with users of its own."""
    lines = [action for action in actions if isinstance(action, Replay)]
    if not lines:
        return Replaying(actions, {})
    booked = {spool: _booked(connection, spool) for spool in {line.spool for line in lines}}
    marks = {
        spool: max(number, *(line.number for line in lines if line.spool == spool)) for spool, number in booked.items()
    }
    return Replaying([_meant(action, booked, host) for action in actions], marks)


def _of_host(action: Book | Settle, host: int | None) -> Book | Settle:
    if host is None or isinstance(action, Settle):
        return action
    return replace(action, request=replace(action.request, uid=person(action.request.uid, host)))


def take_in(connection: Connection, books: Books, actions: Sequence[Action], lease: Lease) -> None:
    """Have in the books what an earlier daemon has reserved and these settle."""
    unknown = defaultdict[int, list[Settle]](list)
    for action in actions:
        if isinstance(action, Settle) and action.key not in books.held:
            unknown[action.key].append(action)
    for row in queries.reserved(connection, unknown) if unknown else ():
        if any(is_end_of(action, row, lease) for action in unknown[row.id]):
            books.held[row.id] = Held.of(row, queries.exact(row.high, row.low))


def is_end_of(action: Settle, request: Any, lease: Lease) -> bool:
    """Whether the request of its key is the one that it is about; else that was lost with a database that was restored.
    Where an end does not say who has begun it, an earlier daemon of this machine has."""
    if action.begun_by is None:
        return bool(request.host == lease.host and request.instance != lease.instance)
    return bool(request.instance == (action.begun_by or lease.instance))


def settled_as_lost(connection: Connection, action: Settle, lease: Lease) -> tuple[Held, int] | None:
    """A request that others have settled as lost, and at which cost; nobody else corrects that until the transaction
    ends. None where it is not so, or where its user's uid is another's by now, whose sums do not have it."""
    lost = requests.c.state == RequestState.LOST
    chosen = select(requests).where(requests.c.id == action.key, lost).with_for_update()
    row: Row[tuple[object, ...]] | None = connection.execute(chosen).one_or_none()
    if row is None or not is_end_of(action, row, lease) or _is_anothers(connection, row):
        return None
    return Held.of(row, 0), row.cost_nano


def _is_anothers(connection: Connection, row: Any) -> bool:
    """By when it was settled, as by names he may be the same again."""
    return queries.settled_seq(connection, row.id) <= queries.taken_over_seq(connection, row.uid)


def _booked(connection: Connection, spool: str) -> int:
    """The number of its last line that is; 0 for none."""
    return int(noted(connection, _MARK.format(spool)) or 0)


def _meant(action: Action, booked: dict[str, int], host: int | None) -> Action | None:
    if not isinstance(action, Replay):
        return action
    return None if action.number <= booked[action.spool] else _of_host(action.what, host)
