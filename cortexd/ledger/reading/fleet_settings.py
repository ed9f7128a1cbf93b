"""What the machines that share a ledger have decided together."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, Row, Select, func, literal, select

from cortexd.domain.fleet import Marks, Revision
from cortexd.ledger.keeping.schema import changes, fleet_settings

_COUNTED = [each.name for each in fields(Marks) if each.name != "settings"]
_WITHOUT_TEXT = [column for column in fleet_settings.c if column.name != "text"]


def marks(connection: Connection) -> Marks:
    known = changes.c.of.in_(_COUNTED)  # a newer cortexd may count more
    counted = {row.of: row.number for row in connection.execute(select(changes).where(known))}
    return Marks(settings=newest_number(connection), **counted)


def newest_number(connection: Connection) -> int:
    """0 where nobody has decided anything yet."""
    return int(connection.scalar(select(func.coalesce(func.max(fleet_settings.c.number), 0))) or 0)


def revision(connection: Connection, number: int | None = None) -> Revision | None:
    """The one of this number, or the newest; None where there is none."""
    chosen = select(fleet_settings).order_by(fleet_settings.c.number.desc()).limit(1)
    if number is not None:
        chosen = chosen.where(fleet_settings.c.number == number)
    row = connection.execute(chosen).one_or_none()
    return None if row is None else _revision(row)


def history(connection: Connection) -> list[Revision]:
    """All that are kept, the newest first, without their texts."""
    chosen: Select[Any] = select(*_WITHOUT_TEXT, literal("").label("text")).order_by(fleet_settings.c.number.desc())
    return [_revision(row) for row in connection.execute(chosen)]


def _revision(row: Row[Any]) -> Revision:
    return Revision(row.number, row.at.replace(tzinfo=UTC), row.role, row.author, row.comment, row.text)
