"""Statements sent straight to the driver. Executing one through SQLAlchemy takes ten times what the database does.

So values and rows are the driver's own: times as text in the form that SQLAlchemy's DateTime reads, enumerations as
their text. Errors are SQLAlchemy's, without values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import ClauseElement

from cortexd.ledger.engines import Asked, Engine, engine_of

_FOR_IN = {"render_postcompile": True}
Row = dict[str, Any]


def given(name: str) -> BindParameter[Any]:
    """A value that a prepared statement is run with."""
    return bindparam(name, required=False)


def rows_of(connection: Connection) -> Callable[..., list[tuple[Any, ...]]]:
    """What runs a statement in words and gives all its rows, as reading/at_start.py wants it."""

    def rows(statement: str, /, **values: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.execute(text(statement), values)]

    return rows


class Prepared:
    """A statement of Core, made and compiled once for each dialect, run in the connection's open transaction."""

    def __init__(self, make: Callable[[Engine], ClauseElement]) -> None:
        self._make = make
        self._compiled: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def asked(self, connection: Connection, **values: Any) -> Asked:
        """For Sharing.ask."""
        statement, fixed = self._compiled.get(connection.dialect.name) or self._compile(connection)
        return statement, {**fixed, **values}

    def run(self, connection: Connection, **values: Any) -> int:
        """The number of rows that it concerned."""
        with closing(self._execute(connection, values)) as cursor:
            return int(cursor.rowcount)

    def rows(self, connection: Connection, **values: Any) -> list[tuple[Any, ...]]:
        """All that it selects."""
        with closing(self._execute(connection, values)) as cursor:
            return list(cursor.fetchall())

    def scalar(self, connection: Connection, **values: Any) -> Any:
        """The first value that it selects; None where that is nothing."""
        found = self.rows(connection, **values)
        return found[0][0] if found else None

    def _execute(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        if not connection.in_transaction():
            connection.begin()
        statement, given = self.asked(connection, **values)
        with as_sqlalchemys(connection, statement):
            cursor = connection.connection.cursor()
            cursor.execute(statement, given)
        return cursor

    def _compile(self, connection: Connection) -> tuple[str, Mapping[str, Any]]:
        made = self._make(engine_of(connection))
        compiled = made.compile(dialect=connection.dialect, compile_kwargs=_FOR_IN)
        self._compiled[connection.dialect.name] = found = str(compiled), dict(compiled.params or {})
        return found


@dataclass(frozen=True, slots=True)
class Sending:
    """A statement that is run with each row, and the same for several at once, by lists; "" where there is none.

    `placed`: a row's values as `one` takes them, by their place; None where it takes them by their names."""

    one: str
    many: str = ""
    placed: Callable[[Row], tuple[Any, ...]] | None = None


def send(connection: Connection, sending: Sending, rows: Sequence[Row]) -> None:
    """Run a statement for each row in the connection's open transaction."""
    send_all(connection, ((sending, rows),))


def send_all(connection: Connection, parts: Iterable[tuple[Sending, Sequence[Row]]]) -> None:
    """The same of several statements, one after the other."""
    statement = ""
    try:
        cursor = connection.connection.cursor()
        for sending, rows in parts:
            statement = sending.one
            if sending.many and len(rows) > 1:
                cursor.execute(sending.many, {name: [row[name] for row in rows] for name in rows[0]})
            else:
                given: Any = rows if sending.placed is None else map(sending.placed, rows)
                cursor.executemany(statement, given)
        cursor.close()
    except connection.dialect.loaded_dbapi.Error as error:
        raise sqlalchemys(connection, error, statement) from error


@contextmanager
def as_sqlalchemys(connection: Connection, statement: str = "") -> Iterator[None]:
    """The driver's errors meanwhile are SQLAlchemy's."""
    try:
        yield
    except connection.dialect.loaded_dbapi.Error as error:
        raise sqlalchemys(connection, error, statement) from error


def sqlalchemys(connection: Connection, error: Exception, statement: str) -> Exception:
    """The driver's error as SQLAlchemy's."""
    driver = connection.dialect.loaded_dbapi
    engine_of(connection).hide_values(error)
    return DBAPIError.instance(statement, None, error, driver.Error, dialect=connection.dialect)
