"""What people have set and the daemon must not forget: users' preferences, limits set while it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from cortexd.domain.safe_values import INT64_MAX
from cortexd.errors import AccessDenied, InvalidArgument, TooLarge
from cortexd.ledger.engines import engine_of
from cortexd.ledger.keeping.schema import budget_overrides as budgets
from cortexd.ledger.keeping.schema import preferences as wished
from cortexd.ledger.records import LimitOverride
from cortexd.ledger.writing import changes

_MAX_BYTES = 64 * 1024


def _as_json(wishes: Mapping[str, Any]) -> str:
    if not wishes:
        return ""
    try:
        text = json.dumps(dict(wishes))
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"preferences hold what cannot be kept as JSON: {error}") from None
    if len(text) > _MAX_BYTES:
        raise TooLarge(f"preferences take {len(text)} bytes as JSON; at most {_MAX_BYTES} are kept")
    return text


def preferences(connection: Connection, uid: int) -> dict[str, Any]:
    text = connection.scalar(select(wished.c.wishes).where(wished.c.uid == uid))
    kept: dict[str, Any] = json.loads(text) if text else {}
    return kept


def keep_preferences(connection: Connection, uid: int, wishes: Mapping[str, Any]) -> None:
    """Replace what `uid` wishes for; nothing deletes it. Raises TooLarge, and InvalidArgument for what JSON cannot
    hold."""
    text = _as_json(wishes)
    connection.execute(delete(wished).where(wished.c.uid == uid))
    if text:
        connection.execute(insert(wished), {"uid": uid, "wishes": text})
    changes.count(connection, changes.PREFERENCES)


def keep_budget(connection: Connection, scope: str, name: str, override: LimitOverride | None, by_uid: int) -> None:
    """Replace a limit; None removes it. `by_uid`: who has set it. Raises AccessDenied."""
    if override is not None:
        _check(override)
    if (sharing := engine_of(connection).sharing) and not sharing.may_change(connection, budgets):
        raise AccessDenied(
            "On this fleet limits are not set from a machine: the database lets it only read them. Whoever may change "
            "the fleet's settings sets them with cortexctl fleet settings set."
        )
    connection.execute(delete(budgets).where(budgets.c.scope == scope, budgets.c.name == name))
    if override is not None:
        amounts = {"day_nano": override.day_nano, "month_nano": override.month_nano}
        given = {"scope": scope, "name": name, "by_uid": by_uid, "at": datetime.now(UTC).replace(tzinfo=None)}
        connection.execute(insert(budgets), given | amounts)
    changes.count(connection, changes.LIMITS)


def _check(override: LimitOverride) -> None:
    for nano in (override.day_nano, override.month_nano):
        if nano is not None and not 0 <= nano <= INT64_MAX:
            raise InvalidArgument(f"a limit of {nano} nano-dollars is outside what the ledger can hold")
