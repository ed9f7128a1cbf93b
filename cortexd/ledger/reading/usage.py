"""Usage reports: settled requests added up by what the caller groups them by.

Rollups tell most of it. What they do not know, hours and labels, is in the requests, and lost with those that were
pruned, of which daily sums are left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    case,
    distinct,
    false,
    func,
    literal,
    select,
    true,
)

from cortexd.domain.apps import APP, APP_VERIFIED
from cortexd.domain.people import uid_of
from cortexd.domain.safe_values import bounded_text
from cortexd.errors import TooLarge
from cortexd.ledger.engines import engine_of
from cortexd.ledger.keeping.schema import attempts, daily, hosts, requests, rollups
from cortexd.ledger.reading.queries import exact, exact_sum, in_order
from cortexd.ledger.reading.rollups import COST, TOKENS, every_uid
from cortexd.ledger.records import MAX_NAME, RequestState, UsageQuery, UsageRow

MAX_ROWS = 10_000
_MAX_LABEL_VALUES = 100
_OTHER = "(other)"
_DEADLINE_S = 20.0
_HOST, _HOST_ID = "host", "host_id"
_MACHINES = select(hosts.c.number, hosts.c.name, hosts.c.id)
_WITH = {"uid": ("uid", "user"), APP: (APP, APP_VERIFIED), _HOST: (_HOST, _HOST_ID)}  # what a key brings with it
_OF_A_REQUEST = {"hour", "label", APP}
# How sums count requests, by whether providers and models are told apart.
_COUNTED = {
    (False, False): "requests",
    (True, False): "at_provider",
    (False, True): "at_model",
    (True, True): "at_both",
}
Columns = dict[str, ColumnElement[Any]]
Machines = Mapping[int, tuple[str, str]]  # name and id, by number


@dataclass(slots=True)
class _Sum:
    """One row in the making."""

    requests: int = 0
    tokens: tuple[int, ...] = (0,) * len(TOKENS)
    cost_nano: int = 0
    cost_known: bool = True

    def add(self, row: Row[Any]) -> None:
        self.requests += int(row.requests or 0)
        self.tokens = tuple(own + int(getattr(row, name) or 0) for own, name in zip(self.tokens, TOKENS, strict=True))
        self.cost_nano += exact(row.high, row.low)
        self.cost_known &= row.cost_known in (None, True)


def read(connection: Connection, query: UsageQuery) -> list[UsageRow]:
    """The report, ordered by its keys. Raises TooLarge past MAX_ROWS rows, or where it takes too long."""
    with engine_of(connection).deadline(connection, _DEADLINE_S) as out_of_time:
        try:
            return _read(connection, query)
        except Exception as error:
            if out_of_time():
                text = f"adding this up takes longer than {_DEADLINE_S:g} s; narrow since and until"
                raise TooLarge(text) from error
            raise


def _read(connection: Connection, query: UsageQuery) -> list[UsageRow]:
    names = _names(query.group_by)
    sums: dict[tuple[str | int, ...], _Sum] = {} if names else {(): _Sum()}
    for statement in _statements(connection, query, names):
        for row in connection.execute(statement.limit(MAX_ROWS + 1)):
            sums.setdefault(tuple(row[: len(names)]), _Sum()).add(row)
        if len(sums) > MAX_ROWS:
            raise TooLarge(f"the report has more than {MAX_ROWS} rows; narrow since and until, or group by less")
    machines = _machines(connection) if _HOST in names else {}
    return sorted((_row(names, keys, sums[keys], machines) for keys in sums), key=lambda row: list(row.keys.values()))


def _statements(connection: Connection, query: UsageQuery, names: Sequence[str]) -> tuple[Select[Any], ...]:
    if query.app or _OF_A_REQUEST.intersection(names):
        return _of_requests(connection, query, names), _of_days(connection, query, names)
    return (_of_rollups(query, names),)


def _names(group_by: Iterable[str]) -> list[str]:
    """The keys of a row: uids are reused, so each comes with its user's name."""
    return [name for group in dict.fromkeys(group_by) for name in _WITH.get(group, (group,))]


def _machines(connection: Connection) -> Machines:
    return {number: (name, known_by) for number, name, known_by in connection.execute(_MACHINES)}


def _row(names: Sequence[str], keys: tuple[str | int, ...], found: _Sum, machines: Machines) -> UsageRow:
    known = dict(zip(names, keys, strict=True))
    if "uid" in known:
        known["uid"] = uid_of(int(known["uid"]))
    if _HOST in known:
        known[_HOST], known[_HOST_ID] = machines.get(int(known[_HOST]), ("", ""))
    if APP_VERIFIED in known:
        known[APP_VERIFIED] = bool(known[APP_VERIFIED])
    return UsageRow(
        keys=known,
        requests=found.requests,
        **dict(zip(TOKENS, found.tokens, strict=True)),
        cost_nano=found.cost_nano,
        cost_known=found.cost_known,
    )


def _of_requests(connection: Connection, query: UsageQuery, names: Sequence[str]) -> Select[Any]:
    settled = (requests.c.state != RequestState.PENDING) & _chosen(connection, query)
    if query.app:
        settled &= _value(connection, APP) == query.app
    columns: Columns = {
        "day": requests.c.day,
        "hour": engine_of(connection).local_hour(requests.c.started_at),
        "task_type": requests.c.task_type,
        "provider": func.coalesce(attempts.c.provider, ""),
        "model": func.coalesce(attempts.c.model, ""),
        "uid": requests.c.uid,
        "user": requests.c.user,
        _HOST: requests.c.host,
        _HOST_ID: requests.c.host,
    }
    if "label" in names:
        columns["label"] = _label(connection, query.label, settled)
    if APP in names:
        columns[APP] = _label(connection, APP, settled)
        columns[APP_VERIFIED] = _value(connection, APP_VERIFIED) != ""
    tried = attempts.c.request.is_not(None)
    tokens: Columns = {name: func.coalesce(attempts.c[name], 0) for name in TOKENS}
    cost = case((tried, attempts.c.cost_nano), else_=requests.c.cost_nano)
    known = case((tried, attempts.c.cost_known), else_=requests.c.cost_known)
    source = requests.outerjoin(attempts, attempts.c.request == requests.c.id)
    all_known = engine_of(connection).every(known)
    figures = (func.count(distinct(requests.c.id)), tokens, exact_sum(cost), all_known)
    return _sums(names, columns, source, settled, *figures)


def _of_rollups(query: UsageQuery, names: Sequence[str]) -> Select[Any]:
    whose = rollups.c.uid.in_(every_uid()) if query.uid is None else rollups.c.uid == query.uid
    days = rollups.c.day.between(query.since.isoformat(), query.until.isoformat())
    chosen = whose & days & _of_user(rollups.c.user, query)
    counted = func.sum(rollups.c[_COUNTED["provider" in names, "model" in names]])
    tokens: Columns = {name: rollups.c[name] for name in TOKENS}
    columns: Columns = {_HOST_ID: rollups.c.host, **dict(rollups.c)}
    return _sums(names, columns, rollups, chosen, counted, tokens, COST, func.sum(rollups.c.unknown) == 0)


def _of_days(connection: Connection, query: UsageQuery, names: Sequence[str]) -> Select[Any]:
    lost: Columns = {"label": literal(""), APP: literal(""), APP_VERIFIED: literal(0)}
    columns: Columns = {"hour": daily.c.day, _HOST_ID: daily.c.host, **lost, **dict(daily.c)}
    chosen: ColumnElement[bool] = daily.c.day.between(query.since.isoformat(), query.until.isoformat())
    if query.app:
        chosen &= false()
    if query.uid is not None:
        chosen &= (daily.c.uid == query.uid) & _of_user(daily.c.user, query)
    counted = func.sum(daily.c[_COUNTED["provider" in names, "model" in names]])
    tokens: Columns = {name: daily.c[name] for name in TOKENS}
    all_known = engine_of(connection).every(daily.c.cost_known)
    return _sums(names, columns, daily, chosen, counted, tokens, exact_sum(daily.c.cost_nano), all_known)


def _sums(
    names: Sequence[str],
    columns: Columns,
    source: FromClause,
    chosen: ColumnElement[bool],
    count: ColumnElement[Any],
    tokens: Columns,
    cost: tuple[ColumnElement[Any], ColumnElement[Any]],
    known: ColumnElement[Any],
) -> Select[Any]:
    keys = [columns[name].label(name) for name in names]
    high, low = cost
    added = [func.sum(tokens[name]).label(name) for name in TOKENS]
    figures = (count.label("requests"), *added, high.label("high"), low.label("low"))
    report = select(*keys, *figures, known.label("cost_known")).select_from(source).where(chosen)
    return report.group_by(*(columns[name] for name in names)) if names else report


def _chosen(connection: Connection, query: UsageQuery) -> ColumnElement[bool]:
    """One user's days are listed one by one: (day, uid) then leads to his rows alone."""
    since, until = query.since.isoformat(), query.until.isoformat()
    if query.uid is None:
        return requests.c.day.between(since, until)
    first = connection.scalar(select(func.min(requests.c.day)))
    last = connection.scalar(select(func.max(requests.c.day)))
    if first is None or last is None:
        return false()
    days = requests.c.day.in_(_days(max(since, first), min(until, last)))
    return days & (requests.c.uid == query.uid) & _of_user(requests.c.user, query)


def _of_user(name: ColumnElement[str], query: UsageQuery) -> ColumnElement[bool]:
    return true() if query.user is None else name.in_((bounded_text(query.user, MAX_NAME), str(uid_of(query.uid or 0))))


def _days(first: str, last: str) -> list[str]:
    start = date.fromisoformat(first)
    count = (date.fromisoformat(last) - start).days + 1
    return [(start + timedelta(number)).isoformat() for number in range(count)]


def _label(connection: Connection, key: str, settled: ColumnElement[bool]) -> ColumnElement[str]:
    """A request's value of one label: one of the dearest, `_OTHER`, or "" where it has none."""
    value = _value(connection, key)
    high, low = exact_sum(requests.c.cost_nano)
    dearest = (
        select(value.label("value"))
        .where(settled, value != "")
        .group_by(value)
        .order_by(*(part.desc() for part in in_order(high, low)), value)
        .limit(_MAX_LABEL_VALUES)
    )
    shown = ["", *connection.scalars(dearest)]
    return case((value.in_(shown), value), else_=_OTHER)


def _value(connection: Connection, key: str) -> ColumnElement[str]:
    """The same, whatever it is."""
    found = engine_of(connection).json_value(requests.c.labels, key)
    return case((requests.c.labels == "{}", ""), else_=func.coalesce(found, ""))
