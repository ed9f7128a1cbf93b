"""What a ledger says of itself: its own id, which others were moved into it, and whether it has gone elsewhere."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from cortexd.errors import LedgerUnavailable
from cortexd.ledger.keeping.meta_rows import note, noted, noted_under

_ID = "ledger"
_MOVED_IN = "moved in "
_MOVED_TO = "moved to"
OF_THE_PLACE = (_MOVED_TO, "instance")  # which a copy of the ledger has no use for


def own_id(connection: Connection) -> str:
    """32 hexadecimal digits, made in the open transaction where there is none yet. Copies of a ledger have the same."""
    found = known_id(connection)
    if found is None:
        found = secrets.token_hex(16)
        note(connection, _ID, found)
    return found


def known_id(connection: Connection) -> str | None:
    return noted(connection, _ID)


def moved_in(connection: Connection) -> dict[str, Mapping[str, Any]]:
    """The ledgers that were moved into this one, by id, with what was noted of each."""
    return {ledger: json.loads(value) for ledger, value in noted_under(connection, _MOVED_IN).items()}


def note_moved_in(connection: Connection, ledger: str, figures: Mapping[str, Any]) -> None:
    note(connection, _MOVED_IN + ledger, json.dumps(dict(figures)))


def note_moved_to(connection: Connection, where: str) -> None:
    """From now on no daemon goes on with this ledger."""
    note(connection, _MOVED_TO, where)


def refuse_moved(connection: Connection) -> None:
    """Raise LedgerUnavailable where a daemon would book in a ledger whose sums are another's now."""
    if where := noted(connection, _MOVED_TO):
        raise LedgerUnavailable(
            f"this ledger was moved into {where}, where its budgets go on; set [ledger] url to that. To have a file "
            "again, write it out: cortexctl fleet export"
        )
