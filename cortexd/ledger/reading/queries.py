"""What is read from the ledger. Every sum is exact, also past 64 bits."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    case,
    cast,
    func,
    literal,
    select,
)

from cortexd.domain.apps import APP
from cortexd.ledger.engines import Engine, engine_of
from cortexd.ledger.engines.driver import Prepared, given
from cortexd.ledger.keeping.meta_rows import note, noted
from cortexd.ledger.keeping.schema import PENDING, entries, owners, requests
from cortexd.ledger.records import IN_VAIN, SPENT, AppOf, Kind, RequestState, StoredRequest

_HALF = 32
_SHIFT = literal(_HALF, Integer)  # databases shift by no wider type
_LOW = literal((1 << _HALF) - 1, BigInteger)
_NEWEST = 20_000  # requests of everybody, in which a user's last one is looked for
_LAST_KEY = "last_key"
is_spent = entries.c.kind.in_(SPENT)
is_release = entries.c.kind == Kind.RELEASE
_last_seq = Prepared(lambda _engine: select(func.max(entries.c.seq)))
_last_key = Prepared(lambda _engine: select(func.max(requests.c.id)))
states = Prepared(lambda engine: _states(engine))


def exact_sum(column: ColumnElement[int]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Two columns that `exact` puts together: a plain SUM of 64-bit amounts may overflow."""
    high, low = halves(column)
    return func.sum(high), func.sum(low)


def halves(column: ColumnElement[int]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Whose sums `exact` puts together."""
    return column.bitwise_rshift(_SHIFT), column.bitwise_and(_LOW)


def halved(nano: int) -> tuple[int, int]:
    """The same of one amount."""
    return nano >> _HALF, nano & ((1 << _HALF) - 1)


def in_order(high: ColumnElement[Any], low: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Two columns by which sums of `exact_sum` are ordered."""
    whole = cast(low, BigInteger)
    return high + whole.bitwise_rshift(_SHIFT), whole.bitwise_and(_LOW)


def exact(high: Any, low: Any) -> int:
    """The sum that two columns of `exact_sum` make; 0 where there was nothing to add."""
    return (int(high or 0) << _HALF) + int(low or 0)


def spent_by_app(connection: Connection, whose: AppOf, month: str, day: str | None = None) -> int:
    """The same for one program of a user. Reads his requests of that time, day by day."""
    days = [f"{month}-{number:02d}" for number in range(1, 32)] if day is None else [day]
    named = engine_of(connection).json_value(requests.c.labels, APP) == whose.app
    chosen = (requests.c.day.in_(days), requests.c.uid == whose.uid, requests.c.labels != "{}", named)
    source = requests.join(entries, entries.c.request == requests.c.id)
    sums = select(*exact_sum(entries.c.nano)).select_from(source)
    return exact(*connection.execute(sums.where(*chosen, is_spent, _own(connection, [whose.uid]))).one())


def _own(connection: Connection, uids: Sequence[int]) -> ColumnElement[bool]:
    """The entries of these users, without those of whoever had their uid before."""
    chosen = entries.c.uid.in_(uids)
    marks = select(owners.c.uid, owners.c.seq).where(owners.c.uid.in_(uids), owners.c.seq > 0)
    for uid, seq in connection.execute(marks):
        chosen &= (entries.c.uid != uid) | (entries.c.seq > seq)
    return chosen


def unknown(connection: Connection, uid: int, day: str) -> int:
    """Nano-dollars that `uid` spent in a day on requests without an answer whose cost no provider told."""
    whose = (requests.c.day == day, requests.c.uid == uid, requests.c.state.in_(IN_VAIN), ~requests.c.cost_known)
    return exact(*connection.execute(select(*exact_sum(requests.c.cost_nano)).where(*whose)).one())


def find(connection: Connection, names: Iterable[tuple[int, str]]) -> dict[tuple[int, str], StoredRequest]:
    """Those of the (uid, request id) pairs that the ledger knows."""
    wanted = set(names)
    near = engine_of(connection).with_pairs(requests, (requests.c.uid, requests.c.request_id), wanted)
    found = {(row.uid, row.request_id): _stored(row) for row in connection.execute(near)}
    return {name: found[name] for name in wanted & found.keys()}


def last_answered(connection: Connection, uid: int) -> str:
    """The id of the last of that user's requests that a provider has answered; "" where none of everybody's newest
    was."""
    near = requests.c.id > last_key(connection) - _NEWEST
    answered = (requests.c.uid == uid, requests.c.state == RequestState.DONE.value, requests.c.provider != "")
    newest = select(requests.c.request_id).where(near, *answered).order_by(requests.c.id.desc()).limit(1)
    return connection.scalar(newest) or ""


def owner(connection: Connection, uid: int) -> str | None:
    """The name that `uid` had last."""
    return connection.scalar(select(owners.c.user).where(owners.c.uid == uid))


def taken_over_seq(connection: Connection, uid: int) -> int:
    """The number of the last entry that a uid's former users have; 0 for none."""
    return connection.scalar(select(owners.c.seq).where(owners.c.uid == uid)) or 0


def settled_seq(connection: Connection, key: int) -> int:
    """The number of the entry with which that request was settled."""
    settled = select(func.max(entries.c.seq)).where(entries.c.request == key, is_release)
    found: int = connection.execute(settled).scalar_one()
    return found


def last_seq(connection: Connection) -> int:
    return _last_seq.scalar(connection) or 0


def last_key(connection: Connection) -> int:
    """The highest key that a request has, or had before it was pruned."""
    kept = int(noted(connection, _LAST_KEY) or 0)
    return max(kept, _last_key.scalar(connection) or 0)


def keep_last_key(connection: Connection) -> None:
    """Remember the highest key, before the request that has it goes."""
    note(connection, _LAST_KEY, str(last_key(connection)))


def reserved(connection: Connection, keys: Collection[int] | None = None) -> list[Row[Any]]:
    """Every pending request, or those of these keys: id, uid, user, day, month, task type, labels, host, instance, and
    `high` and `low` of what is reserved."""
    high, low = exact_sum(case((entries.c.kind == Kind.RESERVE, entries.c.nano), else_=-entries.c.nano))
    held = requests.join(entries, (entries.c.request == requests.c.id) & ~is_spent)
    names = ("id", "uid", "user", "day", "month", "task_type", "labels", "host", "instance")
    columns = [requests.c[name] for name in names]
    pending = select(*columns, high.label("high"), low.label("low")).select_from(held).where(PENDING)
    if keys is not None:
        pending = pending.where(requests.c.id.in_(keys))
    return list(connection.execute(pending.group_by(*columns).order_by(requests.c.id)))


def _states(engine: Engine) -> Select[Any]:
    """Where the requests `keys` stand, by their keys alone, and which daemon has begun them; nobody settles one until
    the transaction ends."""
    columns = (requests.c.id, requests.c.state, requests.c.instance)
    chosen = select(*columns).where(engine.among(requests.c.id, given("keys")))
    return chosen.order_by(requests.c.id).with_for_update(of=requests)


def abandoned(connection: Connection, now: datetime, most: int) -> list[int]:
    """Pending requests whose lease is over by `now` (UTC, without a zone), at most so many, and none that another
    daemon is at; nobody else settles them until the transaction ends."""
    over = select(requests.c.id).where(PENDING, requests.c.lease_until < now).order_by(requests.c.id).limit(most)
    return list(connection.scalars(over.with_for_update(skip_locked=True)))


def _stored(row: Row[Any]) -> StoredRequest:
    return StoredRequest(
        key=row.id,
        uid=row.uid,
        request_id=row.request_id,
        caller_chosen=row.caller_chosen,
        content_hash=row.content_hash,
        task_type=row.task_type,
        state=RequestState(row.state),
        started_at=_aware(row.started_at),
        finished_at=None if row.finished_at is None else _aware(row.finished_at),
        provider=row.provider,
        model=row.model,
        cost_nano=row.cost_nano,
        cost_known=row.cost_known,
        labels=json.loads(row.labels),
    )


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
