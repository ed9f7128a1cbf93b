"""What is a database's own and not SQL. The rest of the ledger names no database; it asks here.

An engine is imported when a ledger of its kind is opened: what it needs of SQLAlchemy takes time and memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from cortexd.config.settings import LedgerSettings
from cortexd.ledger.engines.damage import Damage
from cortexd.ledger.engines.engine import Engine, Log, Place, TemporarilyUnavailable
from cortexd.ledger.engines.resting import NotResting, Resting
from cortexd.ledger.engines.sharing import Adding, Asked, Look, Otherwise, Sharing
from cortexd.ledger.keeping.machine import Machine

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = [
    "Adding",
    "Asked",
    "Damage",
    "Engine",
    "Log",
    "Look",
    "NotResting",
    "Otherwise",
    "Place",
    "Resting",
    "Sharing",
    "TemporarilyUnavailable",
    "engine_for",
    "engine_of",
    "place_of",
    "resting",
]


def _shared() -> Engine:
    from cortexd.ledger.engines.postgresql.engine import PostgresqlEngine

    return PostgresqlEngine()


def _file() -> Engine:
    from cortexd.ledger.engines.sqlite.engine import SqliteEngine

    return SqliteEngine()


# The setting that says where the ledger lies, and the engine that keeps it there. The first that is set counts.
_BY_SETTING: tuple[tuple[str, Callable[[], Engine]], ...] = (("url", cache(_shared)), ("path", cache(_file)))
_SETTING_OF: Mapping[str, str] = {"postgresql": "url", "sqlite": "path"}  # by dialect
_MADE = dict(_BY_SETTING)


def place_of(settings: LedgerSettings) -> Place:
    """Where these settings put the ledger."""
    return next(make for setting, make in _BY_SETTING if getattr(settings, setting))().place(settings)


def resting(settings: LedgerSettings, instance: str, machine: Machine) -> Resting | None:
    """The ledger there, claimed, before it is opened; None of a kind that never rests. Raises as Place.claim does."""
    if settings.url:
        return None
    from cortexd.ledger.engines.sqlite.resting import RestingFile

    return RestingFile(settings, instance, machine)


def engine_of(connection: Connection) -> Engine:
    return engine_for(connection.dialect.name)


def engine_for(dialect: str) -> Engine:
    return _MADE[_SETTING_OF[dialect]]()
