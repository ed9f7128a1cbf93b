"""How well requests went, by the word of those who made them and of what the daemon has seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from cortexd.domain.learned import Cell, Key, Reported, Teach
from cortexd.domain.outcomes import Outcome, Source, combined
from cortexd.domain.safe_values import bounded_text
from cortexd.errors import InvalidArgument, RequestNotFound
from cortexd.ledger.keeping.schema import outcomes, requests
from cortexd.ledger.records import RequestState
from cortexd.ledger.writing import learned

_MAX_REASON = 1000
_CORRECTABLE = timedelta(days=1)  # after a source's first report its later ones teach; then they are kept alone
_OF_REQUEST = tuple(requests.c[name] for name in ("id", "state", "task_type", "provider", "model"))


def keep(
    connection: Connection,
    uid: int,
    request_id: str,
    source: str,
    outcome: Outcome,
    reason: str,
    labels: Mapping[str, str],
    teach: Teach,
) -> tuple[Reported, Mapping[Key, Cell]]:
    """The outcome of one request of `uid`, in place of an earlier one of that source, and the cells that it changes;
    RequestNotFound where there is none such, or it has not ended. Its `at` is that of the source's first report."""
    if not 0 <= outcome.score <= 1:
        raise InvalidArgument(f"a score is from 0 to 1, not {outcome.score}")
    request = _request(connection, uid, request_id)
    told = {row.source: row for row in connection.execute(select(outcomes).where(outcomes.c.request == request.id))}
    said = {"score": outcome.score, "weight": outcome.weight}
    given = {**said, "reason": bounded_text(reason, _MAX_REASON), "labels": json.dumps(dict(labels))}
    former = told.get(source)
    if former is None or any(getattr(former, name) != value for name, value in given.items()):
        _write(connection, request.id, source, former, given)
    known = {name: Outcome(row.score, row.weight) for name, row in told.items()}
    before = combined(known.values())
    after = before if _late(former) else combined({**known, source: outcome}.values())
    reported = Reported(request.task_type, request.provider, request.model, after, before, _answered(request, source))
    if not reported.answered or before == after:
        return reported, {}
    return reported, learned.taught(connection, reported, teach)


def _write(connection: Connection, key: int, source: str, former: Row[Any] | None, given: Mapping[str, Any]) -> None:
    at = datetime.now(UTC).replace(tzinfo=None) if former is None else former.at
    connection.execute(delete(outcomes).where(outcomes.c.request == key, outcomes.c.source == source))
    connection.execute(insert(outcomes), {"request": key, "source": source, "at": at, **given})


def _late(former: Row[Any] | None) -> bool:
    """Whether a correction comes so late that what the first report taught has faded, and would be taken away from
    what others taught."""
    return former is not None and datetime.now(UTC).replace(tzinfo=None) - former.at > _CORRECTABLE


def _answered(request: Row[Any], source: str) -> bool:
    """Whether the outcome says something of a model: the daemon's own sight also where the user left its answer."""
    ended = (RequestState.DONE, RequestState.CANCELLED) if source == Source.AUTO else (RequestState.DONE,)
    return request.state in ended and bool(request.provider)


def of_request(connection: Connection, key: int) -> list[tuple[str, Outcome]]:
    """What each source said of it, in the order of their names."""
    columns = (outcomes.c.source, outcomes.c.score, outcomes.c.weight)
    found = connection.execute(select(*columns).where(outcomes.c.request == key).order_by(outcomes.c.source))
    return [(source, Outcome(score, weight)) for source, score, weight in found]


def _request(connection: Connection, uid: int, request_id: str) -> Row[Any]:
    named = (requests.c.uid == uid) & (requests.c.request_id == request_id)
    kept = select(*_OF_REQUEST).where(named).with_for_update(read=True, key_share=True)  # first, as pruning does
    row = connection.execute(kept).one_or_none()
    if row is None:
        raise RequestNotFound(f"You have no request {request_id} in the ledger.")
    if row.state == RequestState.PENDING:
        raise RequestNotFound(f"Your request {request_id} has not ended. Report on it once it is answered.")
    return row
