"""The statements of the hot path: written in Core, compiled once, sent straight to the driver with rows of rows.py."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Dialect, Table, Text, Update, bindparam, column, insert, update
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from cortexd.ledger.engines import engine_for
from cortexd.ledger.engines.driver import Sending
from cortexd.ledger.keeping.schema import PENDING, attempts, decisions, entries, learned_counts, requests, rollups

_GIVEN_LATER = ("finished_at", "provider", "model", "cost_nano", "cost_known")  # by the settlement
_SETTLED = ("state", *_GIVEN_LATER)


def _insert(dialect: Dialect, table: Table, *without: str) -> Sending:
    columns = [each for each in table.columns if each.name not in without]
    names = [each.name for each in columns]
    one = insert(table).inline().values({name: bindparam(name) for name in names})
    lists = engine_for(dialect.name).lists(columns)
    return _sending(dialect, one, None if lists is None else insert(table).from_select(names, lists))


def adding(dialect: Dialect, table: Table, keys: Sequence[str], sums: Sequence[str]) -> Sending:
    """Rows whose `sums` are added to those with the same `keys`; no two of one go with the same."""
    engine, names = engine_for(dialect.name), (*keys, *sums)
    one = engine.add(table, keys, sums).values({name: bindparam(name) for name in names})
    lists = engine.lists([table.c[name] for name in names])
    return _sending(dialect, one, None if lists is None else engine.add(table, keys, sums, lists))


def _sending(dialect: Dialect, one: ClauseElement, many: ClauseElement | None = None) -> Sending:
    compiled = one.compile(dialect=engine_for(dialect.name).by_place(dialect))
    assert isinstance(compiled, SQLCompiler)
    places = compiled.positiontup  # of two and more
    lists = "" if many is None else str(many.compile(dialect=dialect))
    return Sending(str(compiled), lists, None if places is None else itemgetter(*places))


def _roll_up(dialect: Dialect) -> Sending:
    keys = [each.name for each in rollups.primary_key]
    return adding(dialect, rollups, keys, [each.name for each in rollups.columns if each.name not in keys])


def _settle() -> Update:
    given: dict[str, BindParameter[Any]] = {name: bindparam(name) for name in _SETTLED}
    return update(requests).where(requests.c.id == bindparam("key")).values(given)


def _settle_pending(dialect: Dialect) -> Sending:
    """As `settle`, but nothing that is settled already, or that another daemon has begun."""
    engine, settled = engine_for(dialect.name), (requests.c[name] for name in _SETTLED)
    lists = engine.lists([column("key", BigInteger), column("own", Text), *settled])
    if lists is None:
        return Sending("")
    given = lists.subquery("given")
    own = (requests.c.id == given.c.key, PENDING, requests.c.instance == given.c.own)
    # A join alone may go through all that is pending anywhere, while those are few.
    each = update(requests).where(engine.among(requests.c.id, bindparam("key")), *own)
    several = each.values({name: given.c[name] for name in _SETTLED})
    return _sending(dialect, _settle().where(PENDING, requests.c.instance == bindparam("own")), several)


def _rename() -> Update:
    return update(requests).where(requests.c.id == bindparam("key")).values(request_id=bindparam("renamed"))


def _label() -> Update:
    return update(requests).where(requests.c.id == bindparam("key")).values(labels=bindparam("labels"))


def _renew(dialect: Dialect) -> Update:
    """Not all that it has begun: what ended after a backup, from which the database was restored, is pending there."""
    these = engine_for(dialect.name).among(requests.c.id, bindparam("keys"))
    own = PENDING & (requests.c.instance == bindparam("own")) & these
    return update(requests).where(own).values(lease_until=bindparam("lease_until"))


class Statements:
    """The statements in one dialect's SQL. Rows are dictionaries by column; beside these, `key` is the request
    to settle, to label or to call `renamed`, and `own` the instance whose request it is; `keys` of leases to renew.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.reserve = _insert(dialect, requests, *_GIVEN_LATER)
        self.rename = _sending(dialect, _rename())
        self.settle = _sending(dialect, _settle())
        self.settle_pending = _settle_pending(dialect)
        self.label = _sending(dialect, _label())
        self.decide = _insert(dialect, decisions)
        self.attempt = _insert(dialect, attempts)
        self.entry = _insert(dialect, entries, "seq")
        self.roll_up = _roll_up(dialect)
        self.count = adding(dialect, learned_counts, ("name", "of"), ("value",))
        self.renew = _sending(dialect, _renew(dialect))
