"""The caps that users have set on their own spending."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from sqlalchemy import Connection, delete, insert

from cortexd.domain.own_cap import OwnCap
from cortexd.ledger.keeping.schema import own_caps
from cortexd.ledger.writing import changes


def keep(connection: Connection, uid: int, cap: OwnCap | None) -> None:
    """Replace the cap of `uid`; None removes it."""
    connection.execute(delete(own_caps).where(own_caps.c.uid == uid))
    if cap is not None:
        connection.execute(insert(own_caps), {"uid": uid} | _columns(cap))
    changes.count(connection, changes.OWN_CAPS)


def _columns(cap: OwnCap) -> dict[str, Any]:
    return {
        "day_nano": cap.day_nano,
        "month_nano": cap.month_nano,
        "at_limit": cap.at_limit.value,
        "paused_until": None if cap.paused_until is None else cap.paused_until.astimezone(UTC).replace(tzinfo=None),
        "extra_day": cap.day_extra.period,
        "extra_day_nano": cap.day_extra.nano,
        "extra_month": cap.month_extra.period,
        "extra_month_nano": cap.month_extra.nano,
    }
