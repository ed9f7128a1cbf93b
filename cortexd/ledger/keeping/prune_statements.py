"""The statements of one pruned chunk, and the rows that they read. `keys`: the chunk's requests, as one value."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Insert,
    Select,
    Table,
    Update,
    case,
    delete,
    func,
    insert,
    select,
    update,
)

from cortexd.domain.safe_values import INT64_MAX
from cortexd.ledger.engines import Engine
from cortexd.ledger.engines.driver import Prepared, given
from cortexd.ledger.keeping.schema import (
    attempts,
    daily,
    decisions,
    entries,
    outcomes,
    owners,
    prunings,
    requests,
)
from cortexd.ledger.reading.queries import exact_sum, is_release, is_spent
from cortexd.ledger.reading.rollups import COUNTS, TOKENS
from cortexd.ledger.records import RequestState

KEY = ("day", "uid", "user", "task_type", "provider", "model", "host")
_ADDED = (*COUNTS, *TOKENS, "cost_nano")
_PRUNED = ("requests", "entries", "charged_nano")


class Request(NamedTuple):
    id: int
    uid: int
    user: str
    request_id: str
    task_type: str
    day: str
    cost_nano: int
    cost_known: bool
    host: int


class Attempt(NamedTuple):
    request: int
    provider: str
    model: str
    cost_nano: int
    cost_known: bool
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None

    @property
    def tokens(self) -> tuple[int | None, ...]:
        """In the order of TOKENS."""
        return self.input_tokens, self.output_tokens, self.cached_tokens, self.reasoning_tokens


def _some(engine: Engine, column: ColumnElement[Any]) -> ColumnElement[bool]:
    return engine.among(column, given("keys"))


def _columns(table: Table, row: Any) -> list[ColumnElement[Any]]:
    return [table.c[name] for name in row._fields]


def _oldest(chosen: ColumnElement[bool]) -> Select[Any]:
    by_age = select(*_columns(requests, Request)).where(chosen, requests.c.state != RequestState.PENDING)
    return by_age.order_by(requests.c.day, requests.c.uid).limit(given("at_most"))


def _unlocked(_engine: Engine) -> Select[Any]:
    """What somebody is writing to meanwhile, as a late outcome, is left to the next time; nobody else begins that."""
    return _oldest(requests.c.day < given("before")).with_for_update(skip_locked=True)


def _free(engine: Engine) -> Select[Any]:
    return _oldest(_some(engine, requests.c.id) & (requests.c.cost_nano == 0) & requests.c.cost_known)


def _closed(engine: Engine) -> Select[Any]:
    released = func.max(case((is_release, entries.c.seq)))
    charged = exact_sum(case((is_spent, entries.c.nano), else_=0))
    sums = select(entries.c.request, func.coalesce(released, 0), *charged)
    return sums.where(_some(engine, entries.c.request)).group_by(entries.c.request)


def _tried(engine: Engine) -> Select[Any]:
    made = select(*_columns(attempts, Attempt)).where(_some(engine, attempts.c.request))
    return made.order_by(attempts.c.request, attempts.c.number)


def _with_room(_engine: Engine) -> Select[Any]:
    same = [daily.c[name] == given(name) for name in KEY]
    room = [daily.c[name] <= INT64_MAX - given(name) for name in _ADDED]
    return select(daily.c.id).where(*same, *room).limit(1)


def _add_up(_engine: Engine) -> Update:
    more: dict[str, Any] = {name: daily.c[name] + given(f"more_{name}") for name in _ADDED}
    known = daily.c.cost_known & given("more_known")
    return update(daily).where(daily.c.id == given("there")).values(more | {"cost_known": known})


def _insert(table: Table) -> Prepared:
    values: dict[str, Any] = {column.name: given(column.name) for column in table.columns if column.name != "id"}
    return Prepared(lambda _engine: insert(table).values(values))


def _delete(table: Table, column: str) -> Prepared:
    return Prepared(lambda engine: delete(table).where(_some(engine, table.c[column])))


def _more_pruned(_engine: Engine) -> Update:
    more: dict[str, Any] = {name: prunings.c[name] + given(f"more_{name}") for name in _PRUNED}
    later = {"id": prunings.c.id + 1, "at": given("now")}
    return update(prunings).where(prunings.c.id == given("last")).values(more | later)


def _new_pruning(_engine: Engine) -> Insert:
    """Its number is the next, and no database's own: MORE_PRUNED goes on by itself."""
    following = select(func.coalesce(func.max(prunings.c.id), 0) + 1).scalar_subquery()
    names = ("at", "before", *_PRUNED)
    return insert(prunings).values({"id": following, **{name: given(name) for name in names}})


def _lower(table: Table) -> Prepared:
    newest: BindParameter[int] = given("newest")
    return Prepared(lambda _engine: update(table).where(table.c.seq > newest).values(seq=newest))


OLDEST = Prepared(lambda _engine: _oldest(requests.c.day < given("before")))
UNLOCKED = Prepared(_unlocked)
FREE = Prepared(_free)
CLOSED = Prepared(_closed)
TRIED = Prepared(_tried)
WITH_ROOM = Prepared(_with_room)
ADD_UP = Prepared(_add_up)
NEW_DAY = _insert(daily)
DELETE_ENTRIES = _delete(entries, "request")
DELETE_BESIDE = tuple(_delete(table, "request") for table in (attempts, outcomes, decisions))
DELETE_REQUESTS = _delete(requests, "id")
LAST_PRUNING = Prepared(
    lambda _engine: (
        select(prunings.c.id, prunings.c.before, prunings.c.at, prunings.c.charged_nano)
        .order_by(prunings.c.id.desc())
        .limit(1)
    )
)
MORE_PRUNED = Prepared(_more_pruned)
NEW_PRUNING = Prepared(_new_pruning)
LOWER_MARKS = _lower(owners)
