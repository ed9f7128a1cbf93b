"""Bringing a ledger's schema up to date. Alembic is imported only where there is an older schema to migrate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from cortexd.errors import LedgerUnavailable
from cortexd.ledger.engines import engine_of
from cortexd.ledger.keeping.revisions import HEAD, REVISIONS
from cortexd.ledger.keeping.schema import APPEND_ONLY, PENDING, metadata, requests_pending, shared_metadata

_VERSION_TABLE = (
    "CREATE TABLE alembic_version "
    "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


def migrate(connection: Connection, before_begin: Callable[[], None] = lambda: None) -> None:
    """Bring the schema to HEAD, all or nothing; raise LedgerUnavailable where a newer cortexd has made it.

    `before_begin` may raise where there must have been a schema.
    """
    found = revision(connection)
    if found == HEAD:
        return
    if sharing := engine_of(connection).sharing:
        sharing.enter(connection, alone=True)
        if (found := revision(connection)) == HEAD:  # another daemon was quicker
            connection.commit()
            return
    if found is not None and found not in REVISIONS:
        raise LedgerUnavailable(
            f"the ledger's schema is {found}, newer than the {HEAD} that this cortexd knows; "
            "start the newer cortexd again, or set another [ledger] path"
        )
    if found is None and not inspect(connection).get_table_names():
        before_begin()
        _create(connection)
    else:
        _upgrade(connection)
    connection.commit()


def revision(connection: Connection) -> str | None:
    """The schema's revision; None where there is no schema yet."""
    try:
        with connection.begin_nested():  # or the whole transaction would have failed
            found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    except DBAPIError as error:
        if engine_of(connection).unwritable(error):
            raise
        return None
    return found


def revision_problem(connection: Connection) -> str | None:
    """Why this cortexd cannot read the ledger as it is; None where it can."""
    found = revision(connection)
    if found == HEAD:
        return None
    if found is None:
        return "it holds no ledger yet; start a cortexd whose [ledger] names it, which makes one"
    if found in REVISIONS:
        return f"its schema is {found}, older than {HEAD}; start this cortexd once, which migrates it"
    return f"its schema is {found}, which this cortexd does not know (it has {HEAD}); upgrade cortexd"


def _create(connection: Connection) -> None:
    """A new ledger at HEAD, without Alembic's 9 MB; a test holds it against what the migrations build."""
    requests_pending.dialect_options[connection.dialect.name]["where"] = PENDING  # declared, it would load the dialect
    metadata.create_all(connection, checkfirst=False)
    if sharing := engine_of(connection).sharing:
        shared_metadata.create_all(connection, checkfirst=False)
        sharing.make_routines(connection)
    for table in APPEND_ONLY:
        engine_of(connection).make_append_only(connection, table)
    connection.execute(text(_VERSION_TABLE))
    connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": HEAD})


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
