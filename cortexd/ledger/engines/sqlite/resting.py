"""A ledger's file at rest, as the standard library alone reads it.

A machine that asks for nothing needs no more of its ledger than that, and SQLAlchemy would be a third of its daemon's
memory.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from cortexd.config.settings import LedgerSettings
from cortexd.ledger.engines.resting import NotResting, Resting
from cortexd.ledger.engines.sqlite import lock
from cortexd.ledger.keeping.machine import Machine
from cortexd.ledger.keeping.revisions import HEAD
from cortexd.ledger.reading import at_start
from cortexd.ledger.writing.rows import moment

_LATELY = timedelta(hours=1)  # as keeping/hosts.py looks at other machines
_JOURNAL = "PRAGMA journal_mode"
_REVISION = "SELECT version_num FROM alembic_version"
_NOTED = "SELECT name FROM meta WHERE name IN ('instance', 'ledger', 'moved to') ORDER BY name"
_ITSELF = "SELECT number FROM hosts WHERE id = :id AND name = :name"
_OTHERS = "SELECT 1 FROM hosts WHERE id <> :id AND last_seen >= :lately LIMIT 1"
_PENDING = "SELECT 1 FROM requests WHERE state = 'pending' LIMIT 1"
_LAST = "SELECT max(id) FROM requests"
_SEEN = """
UPDATE hosts SET last_seen = :now, version = :version, schema = :schema, time_zone = :zone, users = :users
WHERE id = :id
"""
_INSTANCE = "UPDATE meta SET value = :instance WHERE name = 'instance'"


class RestingFile(Resting):
    def __init__(self, settings: LedgerSettings, instance: str, machine: Machine) -> None:
        """Claim and look; where it rests this daemon is noted, as the opening would. Raises as lock.claim does."""
        self._path = settings.path
        self._claim = lock.claim(settings.path)
        self._alone = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = _connected(settings)
            if self._entered(instance, machine):
                self.totals = at_start.totals(self.rows)
                lock.remember(settings.path)
                self.rows("PRAGMA shrink_memory")
                self.rests = True
        except (sqlite3.Error, NotResting):
            pass  # the opening meets it again, and says it
        except BaseException:
            self.let_go()
            raise

    def rows(self, statement: str, /, **values: Any) -> list[tuple[Any, ...]]:
        with self._alone:
            if self._connection is None:
                raise NotResting
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise NotResting from error

    def refuse_gone(self) -> None:
        lock.refuse_gone(self._path)

    def opened(self) -> None:
        with self._alone:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def let_go(self) -> None:
        self.opened()
        os.close(self._claim)

    def _entered(self, instance: str, machine: Machine) -> bool:
        assert self._connection is not None
        if self.rows(_JOURNAL) != [("wal",)]:
            return False
        now = datetime.now(UTC)
        with self._connection:
            self.rows("BEGIN IMMEDIATE")
            found = self.rows(_ITSELF, id=machine.id, name=machine.name)
            known = self.rows(_REVISION) == [(HEAD,)] and self.rows(_NOTED) == [("instance",), ("ledger",)]
            others = self.rows(_OTHERS, id=machine.id, lately=moment(now - _LATELY))
            if not (found and known) or others or self.rows(_PENDING):
                return False
            self.rows(_LAST)  # the opening reads it, and would meet the same damage
            said = {"version": machine.version, "schema": HEAD, "zone": machine.time_zone, "users": machine.users}
            self.rows(_SEEN, id=machine.id, now=moment(now), **said)
            self.rows(_INSTANCE, instance=instance)
            self.host = found[0][0]
        return True


def _connected(settings: LedgerSettings) -> sqlite3.Connection:
    """Which commits as the writer does, and leaves the log to it."""
    uri = f"{settings.path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA synchronous = {'FULL' if settings.durability == 'power' else 'NORMAL'}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection
