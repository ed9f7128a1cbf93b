"""What is a database's own and not SQL. The rest of the ledger names no database; it asks here."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from cortexd.config.settings import LedgerSettings
from cortexd.ledger.engines.damage import Damage
from cortexd.ledger.engines.engine import Engine, Log, Place, TemporarilyUnavailable
from cortexd.ledger.engines.postgresql.engine import PostgresqlEngine
from cortexd.ledger.engines.sharing import Sharing
from cortexd.ledger.engines.sqlite.engine import SqliteEngine

__all__ = ["Damage", "Engine", "Log", "Place", "Sharing", "TemporarilyUnavailable", "engine_of", "place_of"]

# The setting that says where the ledger lies, and the engine that keeps it there. The first that is set counts.
_BY_SETTING: tuple[tuple[str, Engine], ...] = (("url", PostgresqlEngine()), ("path", SqliteEngine()))
_BY_DIALECT: Mapping[str, Engine] = {engine.dialect: engine for _, engine in _BY_SETTING}


def place_of(settings: LedgerSettings) -> Place:
    """Where these settings put the ledger."""
    return next(engine for setting, engine in _BY_SETTING if getattr(settings, setting)).place(settings)


def engine_of(connection: Connection) -> Engine:
    return _BY_DIALECT[connection.dialect.name]
