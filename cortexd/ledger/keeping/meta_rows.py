"""What a ledger notes of itself, by name: the rows of `meta`."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from cortexd.ledger.engines.driver import Prepared, given
from cortexd.ledger.keeping.schema import meta

_value = Prepared(lambda _engine: select(meta.c.value).where(meta.c.name == given("name")))
_forget = Prepared(lambda _engine: delete(meta).where(meta.c.name == given("name")))
_keep = Prepared(lambda _engine: insert(meta).values(name=given("name"), value=given("value")))


def noted(connection: Connection, name: str) -> str | None:
    found: str | None = _value.scalar(connection, name=name)
    return found


def noted_under(connection: Connection, beginning: str) -> dict[str, str]:
    """What is noted under every name that begins so, by the rest of the name."""
    found = select(meta.c.name, meta.c.value).where(meta.c.name.startswith(beginning, autoescape=True))
    return {name.removeprefix(beginning): value for name, value in connection.execute(found)}


def forget(connection: Connection, name: str) -> None:
    _forget.run(connection, name=name)


def note(connection: Connection, name: str, value: str) -> None:
    """In place of what was noted under that name."""
    _forget.run(connection, name=name)
    _keep.run(connection, name=name, value=value)
