"""How well requests went, by the word of those who made them and of what the daemon has seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from cortexd.domain.learned import Cell, Key, Reported, Teach
from cortexd.domain.outcomes import Outcome, combined
from cortexd.domain.safe_values import bounded_text
from cortexd.errors import InvalidArgument, RequestNotFound
from cortexd.ledger.keeping.schema import outcomes, requests
from cortexd.ledger.records import RequestState
from cortexd.ledger.writing import learned

_MAX_REASON = 1000
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
    RequestNotFound where there is none such."""
    if not 0 <= outcome.score <= 1:
        raise InvalidArgument(f"a score is from 0 to 1, not {outcome.score}")
    request = _request(connection, uid, request_id)
    told = dict(of_request(connection, request.id))
    said = {"score": outcome.score, "weight": outcome.weight}
    given = {**said, "reason": bounded_text(reason, _MAX_REASON), "labels": json.dumps(dict(labels))}
    connection.execute(delete(outcomes).where(outcomes.c.request == request.id, outcomes.c.source == source))
    now = datetime.now(UTC).replace(tzinfo=None)
    connection.execute(insert(outcomes), {"request": request.id, "source": source, "at": now, **given})
    before, after = combined(told.values()), combined({**told, source: outcome}.values())
    answered = request.state == RequestState.DONE.value and bool(request.provider)
    reported = Reported(request.task_type, request.provider, request.model, after, before, answered)
    if not answered or before == after:
        return reported, {}
    return reported, learned.taught(connection, reported, teach)


def of_request(connection: Connection, key: int) -> list[tuple[str, Outcome]]:
    """What each source said of it, in the order of their names."""
    columns = (outcomes.c.source, outcomes.c.score, outcomes.c.weight)
    found = connection.execute(select(*columns).where(outcomes.c.request == key).order_by(outcomes.c.source))
    return [(source, Outcome(score, weight)) for source, score, weight in found]


def _request(connection: Connection, uid: int, request_id: str) -> Row[Any]:
    named = (requests.c.uid == uid) & (requests.c.request_id == request_id)
    row = connection.execute(select(*_OF_REQUEST).where(named)).one_or_none()
    if row is None:
        raise RequestNotFound(f"You have no request {request_id} in the ledger.")
    return row
