"""Counting changes of what daemons have in memory, so that those that share a ledger look again."""

from __future__ import annotations

from sqlalchemy import Connection

from cortexd.ledger.engines import engine_of
from cortexd.ledger.keeping.schema import changes

LIMITS, OWN_CAPS, PREFERENCES = "limits", "own_caps", "preferences"  # as domain/fleet.py has them


def count(connection: Connection, of: str) -> None:
    """One more, in the transaction of the change; where one daemon has the ledger to itself there is nobody to tell."""
    engine = engine_of(connection)
    if engine.sharing:
        connection.execute(engine.add(changes, ("of",), ("number",)), {"of": of, "number": 1})
