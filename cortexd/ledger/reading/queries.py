"""What is read from the ledger. Every sum comes from entries and is exact, also past 64 bits."""

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
    delete,
    func,
    insert,
    literal,
    select,
)

from cortexd.domain.apps import APP
from cortexd.ledger.engines import engine_of
from cortexd.ledger.engines.driver import Prepared, given
from cortexd.ledger.keeping.schema import PENDING, entries, meta, owners, requests
from cortexd.ledger.records import IN_VAIN, SPENT, AppOf, Kind, RequestState, StoredRequest, Totals

_HALF = 32
_SHIFT = literal(_HALF, Integer)  # databases shift by no wider type
_LOW = literal((1 << _HALF) - 1, BigInteger)
_AT_ONCE = 500  # users in one query
_NEWEST = 20_000  # requests of everybody, in which a user's last one is looked for
_TOTALS = "totals"  # meta row: "seq requests cost", all entries up to seq counted once and for all
_LAST_KEY = "last_key"
is_spent = entries.c.kind.in_(SPENT)
is_release = entries.c.kind == Kind.RELEASE
_last_seq = Prepared(lambda _engine: select(func.max(entries.c.seq)))
_last_key = Prepared(lambda _engine: select(func.max(requests.c.id)))
_meta = Prepared(lambda _engine: select(meta.c.value).where(meta.c.name == given("name")))
_forget_meta = Prepared(lambda _engine: delete(meta).where(meta.c.name == given("name")))
_keep_meta = Prepared(lambda _engine: insert(meta).values(name=given("name"), value=given("value")))


def exact_sum(column: ColumnElement[int]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Two columns that `exact` puts together: a plain SUM of 64-bit amounts may overflow."""
    low = column.bitwise_and(_LOW)
    return func.sum(column.bitwise_rshift(_SHIFT)), func.sum(low)


def in_order(high: ColumnElement[Any], low: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Two columns by which sums of `exact_sum` are ordered."""
    whole = cast(low, BigInteger)
    return high + whole.bitwise_rshift(_SHIFT), whole.bitwise_and(_LOW)


def exact(high: Any, low: Any) -> int:
    """The sum that two columns of `exact_sum` make; 0 where there was nothing to add."""
    return (int(high or 0) << _HALF) + int(low or 0)


def spent(connection: Connection, uid: int, month: str, day: str | None = None) -> int:
    """Nano-dollars that `uid` has spent in a month ("2026-11"), or in one day of it ("2026-11-23")."""
    return _spent(connection, _own(connection, [uid]), month, day)


def spent_together(connection: Connection, uids: frozenset[int] | None, month: str, day: str | None = None) -> int:
    """The same for several users; None: for everybody, also those whose uid is another's now."""
    known = connection.scalars(_EVERY_UID)
    chosen = [uid for uid in known if uids is None or uid in uids]
    some = [chosen[start : start + _AT_ONCE] for start in range(0, len(chosen), _AT_ONCE)]
    if uids is None:
        return sum(_spent(connection, entries.c.uid.in_(part), month, day) for part in some)
    return sum(_spent(connection, _own(connection, part), month, day) for part in some)


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


def _every_uid() -> Select[Any]:
    """From one user to the next by the index: reads a row per user, where DISTINCT would read every entry."""
    first = select(func.min(entries.c.uid).label("uid")).cte("users", recursive=True)
    following = select(func.min(entries.c.uid)).where(entries.c.uid > first.c.uid).scalar_subquery()
    users = first.union_all(select(following).where(first.c.uid.is_not(None)))
    return select(users.c.uid).where(users.c.uid.is_not(None))


_EVERY_UID = _every_uid()


def _spent(connection: Connection, whose: ColumnElement[bool], month: str, day: str | None) -> int:
    chosen = [whose, entries.c.month == month, is_spent]
    if day is not None:
        chosen.append(entries.c.day == day)
    return exact(*connection.execute(select(*exact_sum(entries.c.nano)).where(*chosen)).one())


def unknown(connection: Connection, uid: int, day: str) -> int:
    """Nano-dollars that `uid` spent in a day on requests without an answer whose cost no provider told."""
    whose = (requests.c.day == day, requests.c.uid == uid, requests.c.state.in_(IN_VAIN), ~requests.c.cost_known)
    return exact(*connection.execute(select(*exact_sum(requests.c.cost_nano)).where(*whose)).one())


def find(connection: Connection, names: Iterable[tuple[int, str]]) -> dict[tuple[int, str], StoredRequest]:
    """Those of the (uid, request id) pairs that the ledger knows."""
    wanted = set(names)
    uids, ids = {uid for uid, _ in wanted}, {request_id for _, request_id in wanted}
    # Not by pairs: the whole table might be read for those.
    near = select(requests).where(requests.c.uid.in_(uids), requests.c.request_id.in_(ids))
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


def last_seq(connection: Connection) -> int:
    return _last_seq.scalar(connection) or 0


def last_key(connection: Connection) -> int:
    """The highest key that a request has, or had before it was pruned."""
    kept = int(_meta.scalar(connection, name=_LAST_KEY) or 0)
    return max(kept, _last_key.scalar(connection) or 0)


def keep_last_key(connection: Connection) -> None:
    """Remember the highest key, before the request that has it goes."""
    _set_meta(connection, _LAST_KEY, str(last_key(connection)))


def reserved(connection: Connection, keys: Collection[int] | None = None) -> list[Row[Any]]:
    """Every pending request, or those of these keys: id, uid, day, month, labels, `high` and `low` of what is reserved.

    Reads entries from the checkpoint on: every opening settles what was pending before it sets one.
    """
    high, low = exact_sum(case((entries.c.kind == Kind.RESERVE, entries.c.nano), else_=-entries.c.nano))
    since = ~is_spent & (entries.c.seq > _checkpoint(connection)[0])
    held = requests.join(entries, (entries.c.request == requests.c.id) & since)
    columns = [requests.c[name] for name in ("id", "uid", "day", "month", "labels")]
    pending = select(*columns, high.label("high"), low.label("low")).select_from(held).where(PENDING)
    if keys is not None:
        pending = pending.where(requests.c.id.in_(keys))
    return list(connection.execute(pending.group_by(*columns).order_by(requests.c.id)))


def pending(connection: Connection, keys: Collection[int]) -> set[int]:
    """Those of these requests that nobody has settled; nobody does until the transaction ends."""
    chosen = select(requests.c.id).where(PENDING, requests.c.id.in_(keys)).order_by(requests.c.id)
    return set(connection.scalars(chosen.with_for_update()))


def abandoned(connection: Connection, now: datetime, most: int) -> list[int]:
    """Pending requests whose lease is over by `now` (UTC, without a zone), at most so many, and none that another
    daemon is at; nobody else settles them until the transaction ends."""
    over = select(requests.c.id).where(PENDING, requests.c.lease_until < now).order_by(requests.c.id).limit(most)
    return list(connection.scalars(over.with_for_update(skip_locked=True)))


def totals(connection: Connection) -> tuple[int, Totals]:
    """The last entry's seq and the machine's totals up to it; counts only what came after the checkpoint."""
    seq, counted = _checkpoint(connection)
    since = count_and_cost(connection, entries.c.seq > seq)
    return last_seq(connection), counted + since


def checkpoint(connection: Connection) -> Totals:
    """Save the totals of now, so that the next opening does not read every entry again; give them back."""
    seq, now = totals(connection)
    _set_checkpoint(connection, seq, now)
    return now


def counted_until(connection: Connection) -> int:
    """The seq of the checkpoint's last entry."""
    return _checkpoint(connection)[0]


def count_pruned(connection: Connection, more: Totals) -> None:
    """Add to the checkpoint what is settled after it and about to be pruned."""
    seq, counted = _checkpoint(connection)
    _set_checkpoint(connection, seq, counted + more)


def lower_checkpoint(connection: Connection, newest: int) -> None:
    """Keep the checkpoint from reaching past the newest entry."""
    seq, counted = _checkpoint(connection)
    if seq > newest:
        _set_checkpoint(connection, newest, counted)


def _checkpoint(connection: Connection) -> tuple[int, Totals]:
    saved = _meta.scalar(connection, name=_TOTALS)
    seq, count, cost = (int(figure) for figure in (saved or "0 0 0").split())
    return seq, Totals(count, cost)


def _set_checkpoint(connection: Connection, seq: int, counted: Totals) -> None:
    _set_meta(connection, _TOTALS, f"{seq} {counted.total_requests} {counted.total_cost_nano}")


def _set_meta(connection: Connection, name: str, value: str) -> None:
    _forget_meta.run(connection, name=name)
    _keep_meta.run(connection, name=name, value=value)


def count_and_cost(connection: Connection, chosen: ColumnElement[bool]) -> Totals:
    spent_nano = case((is_spent, entries.c.nano), else_=0)
    settled = func.sum(case((is_release, 1), else_=0))
    count, high, low = connection.execute(select(settled, *exact_sum(spent_nano)).where(chosen)).one()
    return Totals(int(count or 0), exact(high, low))


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
