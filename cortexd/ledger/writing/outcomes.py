"""How well requests went, by the word of those who made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, insert, select

from cortexd.domain.safe_values import bounded_text
from cortexd.errors import InvalidArgument, RequestNotFound
from cortexd.ledger.keeping.schema import outcomes, requests
from cortexd.ledger.records import Reported, RequestState

_MAX_REASON = 1000
_OF_REQUEST = tuple(requests.c[name] for name in ("id", "state", "task_type", "provider", "model"))


def keep(
    connection: Connection, uid: int, request_id: str, score: float, reason: str, labels: Mapping[str, str]
) -> Reported:
    """The outcome of one request of `uid`, in place of an earlier one; RequestNotFound where there is none such."""
    if not 0 <= score <= 1:
        raise InvalidArgument(f"a score is from 0 to 1, not {score}")
    named = (requests.c.uid == uid) & (requests.c.request_id == request_id)
    row = connection.execute(select(*_OF_REQUEST).where(named)).one_or_none()
    if row is None:
        raise RequestNotFound(f"You have no request {request_id} in the ledger.")
    key, state, task_type, provider, model = row
    before = connection.scalar(select(outcomes.c.score).where(outcomes.c.request == key))
    connection.execute(delete(outcomes).where(outcomes.c.request == key))
    given = {"score": score, "reason": bounded_text(reason, _MAX_REASON), "labels": json.dumps(dict(labels))}
    connection.execute(insert(outcomes), {"request": key, "at": datetime.now(UTC).replace(tzinfo=None), **given})
    answered = state == RequestState.DONE.value and bool(provider)
    return Reported(task_type, provider, model, score, before, answered=answered)
