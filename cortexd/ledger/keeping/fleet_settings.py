"""A fleet's settings in an administrator's hands: read, added to, by whoever the database lets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from cortexd.config.settings import LedgerSettings
from cortexd.domain.fleet import Revision
from cortexd.errors import AccessDenied, InvalidArgument, LedgerUnavailable
from cortexd.ledger.engines import engine_of, place_of
from cortexd.ledger.keeping.migrate import revision_problem
from cortexd.ledger.keeping.schema import fleet_settings
from cortexd.ledger.reading import fleet_settings as reading

MOST_REVISIONS = 200  # that are kept
T = TypeVar("T")


def read(ledger: LedgerSettings, number: int | None = None) -> Revision | None:
    """The revision of this number, or the newest. Raises InvalidArgument where no ledger is shared,
    LedgerUnavailable."""
    return _asked(ledger, lambda connection: reading.revision(connection, number))


def history(ledger: LedgerSettings) -> list[Revision]:
    """The newest first, without texts; raises as `read` does."""
    return _asked(ledger, reading.history)


def open_to_all(ledger: LedgerSettings) -> bool:
    """Whether the role of the ledger's address, which is every machine's, may write settings too."""
    return _asked(ledger, may_change)


def may_change(connection: Connection) -> bool:
    sharing = engine_of(connection).sharing
    return sharing is not None and sharing.may_change(connection, fleet_settings)


def add(ledger: LedgerSettings, text: str, comment: str, author: str, after: int) -> Revision:
    """Make `text` the newest revision, where the one of number `after` (0: none) still is that.

    Raises InvalidArgument where somebody else was quicker, AccessDenied where the database does not let the role of
    the ledger's address write settings, LedgerUnavailable.
    """
    with _writing(ledger, after) as connection:
        role: str = connection.execute(select(func.session_user())).scalar_one()
        made = Revision(after + 1, datetime.now(UTC), role, author, comment, text)
        if not may_change(connection):
            raise AccessDenied(
                f"The database lets role {role} only read the fleet's settings. Name one that may change them with "
                "--role."
            )
        if reading.newest_number(connection) != after:
            raise _overtaken(after)
        row = {name: getattr(made, name) for name in ("number", "role", "author", "comment", "text")}
        connection.execute(insert(fleet_settings), row | {"at": made.at.replace(tzinfo=None)})
        connection.execute(delete(fleet_settings).where(fleet_settings.c.number <= made.number - MOST_REVISIONS))
        return made


def _overtaken(after: int) -> InvalidArgument:
    return InvalidArgument(
        f"Revision {after} is no longer the newest: somebody has changed the fleet's settings meanwhile. "
        "Look at them with cortexctl fleet settings show, then try again."
    )


def _asked(ledger: LedgerSettings, query: Callable[[Connection], T]) -> T:
    _refuse_unshared(ledger)
    place = place_of(ledger)
    place.reach()
    with place.reading() as connection:
        _refuse_other_schema(connection, ledger)
        return query(connection)


@contextmanager
def _writing(ledger: LedgerSettings, after: int) -> Iterator[Connection]:
    """A transaction, which the end of the block commits."""
    _refuse_unshared(ledger)
    place = place_of(ledger)
    sharing = place.engine.sharing
    assert sharing is not None
    pool = place.writer()
    try:
        with pool.begin() as connection:
            sharing.enter(connection, alone=False)
            _refuse_other_schema(connection, ledger)
            yield connection
    except IntegrityError as error:
        raise _overtaken(after) from error
    except SQLAlchemyError as error:
        raise place.failure(f"cannot write the fleet's settings in {place}", error) from error
    finally:
        pool.dispose()


def _refuse_unshared(ledger: LedgerSettings) -> None:
    if not ledger.url:
        raise InvalidArgument(
            "This machine shares no ledger, so it is in no fleet: [ledger] url is not set. Its settings are its files."
        )


def _refuse_other_schema(connection: Connection, ledger: LedgerSettings) -> None:
    if problem := revision_problem(connection):
        raise LedgerUnavailable(f"{ledger.where}: {problem}")
