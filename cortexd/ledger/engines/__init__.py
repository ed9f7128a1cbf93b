"""What is a database's own and not SQL. The rest of the ledger names no database; it asks here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from sqlalchemy import Connection

from cortexd.config.settings import LedgerSettings
from cortexd.ledger.engines.damage import Damage
from cortexd.ledger.engines.engine import Engine, Log, Place, TemporarilyUnavailable
from cortexd.ledger.engines.sharing import Adding, Asked, Look, Otherwise, Sharing
from cortexd.ledger.engines.sqlite.engine import SqliteEngine

__all__ = [
    "Adding",
    "Asked",
    "Damage",
    "Engine",
    "Log",
    "Look",
    "Otherwise",
    "Place",
    "Sharing",
    "TemporarilyUnavailable",
    "engine_for",
    "engine_of",
    "place_of",
]


def _shared() -> Engine:
    """Imported where a ledger is shared alone: what it needs of SQLAlchemy takes time and memory."""
    from cortexd.ledger.engines.postgresql.engine import PostgresqlEngine

    return PostgresqlEngine()


# The setting that says where the ledger lies, and the engine that keeps it there. The first that is set counts.
_BY_SETTING: tuple[tuple[str, Callable[[], Engine]], ...] = (("url", cache(_shared)), ("path", cache(SqliteEngine)))
_SETTING_OF: Mapping[str, str] = {"postgresql": "url", SqliteEngine.dialect: "path"}  # by dialect
_MADE = dict(_BY_SETTING)


def place_of(settings: LedgerSettings) -> Place:
    """Where these settings put the ledger."""
    return next(make for setting, make in _BY_SETTING if getattr(settings, setting))().place(settings)


def engine_of(connection: Connection) -> Engine:
    return engine_for(connection.dialect.name)


def engine_for(dialect: str) -> Engine:
    return _MADE[_SETTING_OF[dialect]]()
