"""A ledger written out into a new file, which a daemon can go on with: as it is at one instant, whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Table, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from cortexd.config.settings import LedgerSettings
from cortexd.errors import InvalidArgument, LedgerUnavailable
from cortexd.ledger.engines import place_of
from cortexd.ledger.keeping import marks
from cortexd.ledger.keeping.migrate import migrate, revision_problem
from cortexd.ledger.keeping.schema import PENDING, meta, metadata, requests
from cortexd.ledger.moving import compared
from cortexd.ledger.moving.take_in import Moved
from cortexd.ledger.reading import rollups

_AT_ONCE = 1_000


def _nobody(_moved: int, _of: int) -> None:
    pass


def write_out(ledger: LedgerSettings, target: Path, told: Callable[[int, int], None] = _nobody) -> tuple[Moved, int]:
    """Write the ledger that the settings name into the new file `target`, of mode 0600; what is in it, and how many of
    its requests are under way, which a daemon that opens the file settles as lost.

    Raises InvalidArgument where there is something at `target`, AccessDenied, LedgerUnavailable; no file is left then.
    """
    place = place_of(ledger)
    place.reach()
    with _new_file(target) as part, place.reading() as source:
        if problem := revision_problem(source):
            raise LedgerUnavailable(f"{place}: {problem}")
        there = place_of(LedgerSettings(path=part))
        pool = there.writer()
        try:
            with pool.connect() as connection:
                migrate(connection)
                moved = _copied(source, connection, told)
        except SQLAlchemyError as error:
            reason = there.engine.unwritable(error) or type(error).__name__
            raise LedgerUnavailable(f"cannot write {target}: {reason}") from error
        finally:
            pool.dispose()
    return moved


def _copied(source: Connection, target: Connection, told: Callable[[int, int], None]) -> tuple[Moved, int]:
    single = int(source.scalar(select(func.count()).select_from(requests)) or 0)
    for table in metadata.sorted_tables:
        _copy(source, target, table, (lambda moved: told(moved, single)) if table is requests else _quietly)
    target.commit()
    compared.refuse_other(_sums(source), _sums(target))
    totals = rollups.totals(target)
    under_way = int(source.scalar(select(func.count()).select_from(requests).where(PENDING)) or 0)
    return Moved(totals.total_requests, single - under_way, totals.total_cost_nano), under_way


def _copy(source: Connection, target: Connection, table: Table, told: Callable[[int], None]) -> None:
    rows = source.execution_options(yield_per=_AT_ONCE).execute(select(table).order_by(*table.primary_key)).mappings()
    moved = 0
    for some in rows.partitions(_AT_ONCE):
        kept = [dict(row) for row in some if table is not meta or row["name"] not in marks.OF_THE_PLACE]
        if kept:
            target.execute(insert(table), kept)
        moved += len(some)
        told(moved)


def _quietly(_moved: int) -> None:
    pass


def _sums(connection: Connection) -> dict[str, compared.Sums]:
    return compared.of_requests(connection, None, int) | compared.of_days(connection, None, int)


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Beside `target`, which it becomes at the end."""
    part = target.with_name(target.name + ".part")
    if target.exists() or target.is_symlink():
        raise InvalidArgument(f"{target} exists already; name a file that does not")
    try:
        part.unlink(missing_ok=True)  # of somebody who was interrupted
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        yield part
        _to_disk(part)
        os.link(part, target)  # which replaces nothing
    except FileExistsError:
        raise InvalidArgument(f"{target} exists already; name a file that does not") from None
    except OSError as error:
        raise LedgerUnavailable(f"cannot write {target}: {error.strerror}") from error
    finally:
        for end in ("", "-wal", "-shm"):
            part.with_name(part.name + end).unlink(missing_ok=True)


def _to_disk(file: Path) -> None:
    with file.open("rb") as written:
        os.fsync(written.fileno())
