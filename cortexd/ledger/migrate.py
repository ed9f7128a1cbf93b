"""Bringing a ledger's schema up to date. Alembic is imported only where there is something to do."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from cortexd.errors import LedgerUnavailable
from cortexd.ledger.schema import HEAD, REVISIONS
from cortexd.ledger.sqlite import unwritable


def migrate(connection: Connection) -> None:
    """Bring the schema to HEAD, all or nothing; raise LedgerUnavailable where a newer cortexd has made it."""
    found = revision(connection)
    if found == HEAD:
        return
    if found is not None and found not in REVISIONS:
        raise LedgerUnavailable(
            f"the ledger's schema is {found}, newer than the {HEAD} that this cortexd knows; "
            "start the newer cortexd again, or set another [ledger] path"
        )
    _upgrade(connection)
    connection.commit()


def revision(connection: Connection) -> str | None:
    """The schema's revision; None where there is no schema yet."""
    try:
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    except DBAPIError as error:
        if unwritable(error):
            raise
        return None
    return found


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
