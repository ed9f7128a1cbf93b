"""The statements of the hot path: written in Core, compiled once, sent straight to the driver with rows of rows.py."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, Dialect, Insert, Table, Update, bindparam, insert, update

from cortexd.ledger.engines import Engine, engine_for
from cortexd.ledger.keeping.schema import PENDING, attempts, decisions, entries, requests, rollups

_GIVEN_LATER = ("finished_at", "provider", "model", "cost_nano", "cost_known")  # by the settlement


def _insert(table: Table, *without: str) -> Insert:
    names = [column.name for column in table.columns if column.name not in without]
    return insert(table).values({name: bindparam(name) for name in names})


def _roll_up(engine: Engine) -> Insert:
    keys = [column.name for column in rollups.primary_key]
    sums = [column.name for column in rollups.columns if column.name not in keys]
    return engine.add(rollups, keys, sums).values({name: bindparam(name) for name in (*keys, *sums)})


def _settle() -> Update:
    given: dict[str, BindParameter[Any]] = {name: bindparam(name) for name in ("state", *_GIVEN_LATER)}
    return update(requests).where(requests.c.id == bindparam("key")).values(given)


def _rename() -> Update:
    return update(requests).where(requests.c.id == bindparam("key")).values(request_id=bindparam("renamed"))


def _label() -> Update:
    return update(requests).where(requests.c.id == bindparam("key")).values(labels=bindparam("labels"))


def _renew() -> Update:
    own = PENDING & (requests.c.instance == bindparam("own"))
    return update(requests).where(own).values(lease_until=bindparam("lease_until"))


class Statements:
    """The statements in one dialect's SQL. Rows are dictionaries by column; beside these, `key` is the request
    to settle, to label or to call `renamed`, and `own` the instance whose leases to renew.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.reserve = str(_insert(requests, *_GIVEN_LATER).compile(dialect=dialect))
        self.rename = str(_rename().compile(dialect=dialect))
        self.settle = str(_settle().compile(dialect=dialect))
        self.label = str(_label().compile(dialect=dialect))
        self.decide = str(_insert(decisions).compile(dialect=dialect))
        self.attempt = str(_insert(attempts).compile(dialect=dialect))
        self.entry = str(_insert(entries, "seq").compile(dialect=dialect))
        self.roll_up = str(_roll_up(engine_for(dialect.name)).compile(dialect=dialect))
        self.renew = str(_renew().compile(dialect=dialect))
