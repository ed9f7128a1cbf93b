"""A ledger's file moved into the one that machines share: all of it in one transaction, or nothing.

Whoever is interrupted begins again; what was moved once is not moved twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from cortexd.config.settings import LedgerSettings
from cortexd.errors import InvalidArgument, LedgerUnavailable
from cortexd.ledger.engines import Place, Sharing, place_of
from cortexd.ledger.keeping import marks
from cortexd.ledger.keeping.migrate import migrate, revision, revision_problem
from cortexd.ledger.keeping.schema import PENDING, budget_overrides, requests
from cortexd.ledger.moving import compared, rows, sums
from cortexd.ledger.moving.keys import NewKeys
from cortexd.ledger.moving.people import People, introduced, refuse_strangers
from cortexd.ledger.reading import queries


@dataclass(frozen=True, slots=True)
class Moved:
    """`requests` and `cost_nano`: settled ones of all time, with those of which daily sums alone are left; `single`:
    that are there one by one. `limits_left`: limits that were set while the daemon ran, which stay behind. `before`:
    it was there already."""

    requests: int
    single: int
    cost_nano: int
    limits_left: int = 0
    before: bool = False


def _nobody(_moved: int, _of: int) -> None:
    pass


def take_in(file: Path, ledger: LedgerSettings, told: Callable[[int, int], None] = _nobody) -> Moved:
    """Move the ledger in `file` into the database that the settings name. `told`: requests moved by now, and all.

    No daemon goes on with the file afterwards. Raises InvalidArgument, AccessDenied, LedgerUnavailable; nothing is
    moved then.
    """
    there, here = place_of(LedgerSettings(path=file)), place_of(ledger)
    sharing = here.engine.sharing
    if sharing is None:
        raise InvalidArgument("[ledger] url names no database that a ledger could be moved into; set it first")
    if not file.exists():
        raise InvalidArgument(f"there is no ledger at {file}")
    there.reach()
    with there.left_alone(), _open(there, here) as (source, target):
        noted = _known(source, target, there)
        if noted is None:
            noted = _moved(source, target, sharing, ledger.users, told)
        source.rollback()
        _leave(there, here)
        return noted


@contextmanager
def _open(there: Place, here: Place) -> Iterator[tuple[Connection, Connection]]:
    try:
        with there.reading() as source, closing(here.writer().connect()) as target:
            yield source, target
    except SQLAlchemyError as error:
        raise here.failure(f"nothing was moved into {here}", error) from error


def _known(source: Connection, target: Connection, there: Place) -> Moved | None:
    """What was noted when this ledger was moved before; None where it may be now. Raises where it may not."""
    if revision(target) is None:
        target.rollback()
        migrate(target)
    for connection, which in ((source, str(there)), (target, "the database")):
        if problem := revision_problem(connection):
            raise LedgerUnavailable(f"{which}: {problem}")
    if source.scalar(select(func.count()).select_from(requests).where(PENDING)):
        raise InvalidArgument(f"{there} has requests that were never settled; start cortexd with it once, and stop it")
    known = marks.known_id(source)
    if known is None:
        raise InvalidArgument(f"{there} was never opened by this version of cortexd; start cortexd with it once")
    taken = marks.moved_in(target)
    target.rollback()
    if known in taken:
        return _as_noted(source, taken[known], there)
    theirs = {known, *marks.moved_in(source)}
    if theirs & {marks.known_id(target), *taken}:
        raise InvalidArgument(f"requests of {there} are in the database already: one was written out of the other")
    target.rollback()
    return None


def _as_noted(source: Connection, noted: object, there: Place) -> Moved:
    assert isinstance(noted, dict)
    if noted["last_seq"] != queries.last_seq(source):
        raise InvalidArgument(
            f"{there} was moved on {noted['at'][:10]}, and was written to since; those requests are in the file alone"
        )
    return Moved(noted["requests"], noted["single"], noted["cost_nano"], before=True)


def _moved(
    source: Connection, target: Connection, sharing: Sharing, users: str, told: Callable[[int, int], None]
) -> Moved:
    people = introduced(source, target, sharing, users)
    single = int(source.scalar(select(func.count()).select_from(requests)) or 0)
    target.begin()
    sharing.take_time(target)
    keys = NewKeys(target, single)
    rows.move(source, target, people, keys, lambda moved: told(moved, single))
    there, here = compared.of_requests(source, None, people.person), compared.of_requests(target, keys.among, int)
    compared.refuse_other(there, here)
    kept = sums.kept(source, people)
    sums.add_long_over(target, kept)
    sharing.enter(target, alone=True)
    refuse_strangers(source, target, people)  # somebody may have got another's uid meanwhile
    moved = _add_up(source, target, people, kept, single)
    target.commit()
    return moved


def _add_up(source: Connection, target: Connection, people: People, kept: sums.Kept, single: int) -> Moved:
    """What is kept in sums, while nobody else writes; and the note that it was done."""
    totals = kept.totals
    sums.add_lately(target, kept)
    sums.persons(source, target, people)
    left = int(source.scalar(select(func.count()).select_from(budget_overrides)) or 0)
    moved = Moved(totals.total_requests, single, totals.total_cost_nano, left)
    known = marks.known_id(source)
    assert known is not None
    figures = {"requests": moved.requests, "single": single, "cost_nano": moved.cost_nano}
    noted = {"at": datetime.now(UTC).isoformat(), "last_seq": queries.last_seq(source), **figures}
    marks.note_moved_in(target, known, noted)
    for ledger, its in marks.moved_in(source).items():
        marks.note_moved_in(target, ledger, its)
    return moved


def _leave(there: Place, here: Place) -> None:
    """No daemon goes on with the file."""
    with there.writer().begin() as connection:
        marks.note_moved_to(connection, str(here))
