"""Everything that is PostgreSQL and not SQL: triggers, deadlines, JSON, and what its errors mean to an operator."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Insert,
    Select,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    func,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, insert

from cortexd.config.settings import LedgerSettings
from cortexd.config.zone import local_zone
from cortexd.ledger.engines.engine import Engine, Log
from cortexd.ledger.engines.postgresql import errors, fitness
from cortexd.ledger.engines.postgresql.server import PostgresqlServer
from cortexd.ledger.engines.postgresql.sharing import PostgresqlSharing

_REFUSE = """
CREATE OR REPLACE FUNCTION cortexd_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND current_setting('cortexd.deletable', true) = TG_TABLE_NAME THEN RETURN NULL; END IF;
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$
"""
_TRIGGER = """
CREATE TRIGGER {table}_refuse_{name} BEFORE {actions} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION cortexd_refuse()
"""
_ACTIONS = {"update": "UPDATE", "delete": "DELETE OR TRUNCATE"}
_THERE = text("""
SELECT tgname FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
WHERE tgrelid = CAST(:table AS regclass) AND tgenabled IN ('O', 'A') AND proname = 'cortexd_refuse'
""")
_FIRST = text("SELECT pg_try_advisory_xact_lock(:key)")
_MAY_DELETE = text("SELECT set_config('cortexd.deletable', :table, true)")
_TIMEOUT = text("SELECT set_config('statement_timeout', :ms, true)")


class PostgresqlEngine(Engine):
    dialect = "postgresql"
    sharing = PostgresqlSharing()

    def place(self, settings: LedgerSettings) -> PostgresqlServer:
        return PostgresqlServer(self, settings.url, settings.password)

    def unwritable(self, error: BaseException) -> str | None:
        return errors.reason(error)

    def passing(self, error: BaseException) -> bool:
        return errors.may_pass(error)

    def damaged(self, error: BaseException) -> bool:
        return errors.is_damage(error)

    def refuses(self, error: BaseException) -> bool:
        return errors.is_refusal(error)

    def hide_values(self, error: BaseException) -> None:
        errors.hide_values(error)

    def amiss(
        self, connection: Connection, rights: Mapping[str, Sequence[str]], *, begun: bool
    ) -> Iterable[tuple[bool, str]]:
        return fitness.amiss(connection, rights, begun)

    def make_append_only(self, connection: Connection, table: str) -> None:
        connection.exec_driver_sql(_REFUSE.replace("%", "%%"))
        for name, actions in _ACTIONS.items():
            connection.execute(text(_TRIGGER.format(table=table, name=name, actions=actions)))

    @contextmanager
    def deletable(self, connection: Connection, table: str) -> Iterator[None]:
        connection.execute(_MAY_DELETE, {"table": table})
        yield
        connection.execute(_MAY_DELETE, {"table": ""})

    def first_to(self, connection: Connection, work: str) -> bool:
        _, values = self.sharing.taking({work})
        return bool(connection.scalar(_FIRST, {"key": values["keys"][0]}))

    def add(self, table: Table, keys: Sequence[str], sums: Sequence[str], rows: Select[Any] | None = None) -> Insert:
        new = insert(table) if rows is None else insert(table).from_select([*keys, *sums], rows)
        more = {name: table.c[name] + new.excluded[name] for name in sums}
        return new.on_conflict_do_update(index_elements=list(keys), set_=more)

    def lists(self, columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
        """One Execute for all rows, and their indices' pages touched together."""
        lists = ((each.key, func.unnest(cast(bindparam(each.key), ARRAY(each.type)))) for each in columns)
        return select(*(unnested.label(name) for name, unnested in lists))

    @contextmanager
    def deadline(self, connection: Connection, seconds: float) -> Iterator[Callable[[], bool]]:
        end = time.monotonic() + seconds
        connection.execute(_TIMEOUT, {"ms": str(max(1, int(seconds * 1000)))})  # until the transaction ends
        yield lambda: time.monotonic() >= end

    def among(self, column: ColumnElement[Any], given: ColumnElement[Any]) -> ColumnElement[bool]:
        # By its index whatever the planner knows of the table; to a subquery it may join all of the table.
        return column == any_(cast(given, ARRAY(BigInteger)))

    def with_pairs(
        self, table: Table, pair: tuple[ColumnElement[int], ColumnElement[str]], wanted: Collection[tuple[int, str]]
    ) -> Select[Any]:
        # One by one, each by the index: by two lists every row might be compared with all of both.
        names = list(wanted)
        lists = (cast([one for one, _ in names], ARRAY(BigInteger)), cast([other for _, other in names], ARRAY(Text)))
        given = func.unnest(*lists).table_valued("one", "other", name="wanted").render_derived()
        found = select(table).where(pair[0] == given.c.one, pair[1] == given.c.other).limit(1).lateral("found")
        return select(found).select_from(given.join(found, true()))

    def key_list(self, keys: Iterable[int]) -> list[int]:
        return list(keys)

    def json_value(self, document: ColumnElement[str], key: str) -> ColumnElement[Any]:
        found: ColumnElement[Any] = cast(document, JSON)[key].astext
        return found

    def every(self, column: ColumnElement[bool]) -> ColumnElement[Any]:
        return func.bool_and(column)

    def local_hour(self, column: ColumnElement[datetime]) -> ColumnElement[str]:
        there = func.timezone(local_zone(), func.timezone("UTC", column))
        return func.to_char(there, 'YYYY-MM-DD"T"HH24')

    def write_back(self, connection: Connection) -> Log:  # noqa: ARG002
        return Log(0, 0)  # its own process does that

    def shrink(self, connection: Connection, seconds: float) -> bool:  # noqa: ARG002
        return False  # autovacuum keeps what is free for the rows to come

    def damage(self, connection: Connection, append_only: Sequence[str]) -> Iterator[str]:
        for table in append_only:
            there = set(connection.scalars(_THERE, {"table": table}))
            for name in _ACTIONS:
                if f"{table}_refuse_{name}" not in there:
                    yield f"{table} can be changed: the trigger {table}_refuse_{name} is missing or another"
