"""How well the newest requests went, by those who made them."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, select

from cortexd.ledger.keeping.schema import outcomes, requests
from cortexd.ledger.reading.queries import last_key
from cortexd.ledger.records import Reported, RequestState

_NEWEST = 20_000  # requests


def read(connection: Connection, until: datetime) -> list[Reported]:
    """Outcomes that were reported before `until` (aware) of answered requests, in the order of their reports."""
    columns = (requests.c.task_type, requests.c.provider, requests.c.model, outcomes.c.score)
    answered = (requests.c.state == RequestState.DONE.value, requests.c.provider != "")
    known = (
        outcomes.c.request > last_key(connection) - _NEWEST,
        outcomes.c.at < until.astimezone(UTC).replace(tzinfo=None),
    )
    source = outcomes.join(requests, requests.c.id == outcomes.c.request)
    found = select(*columns).select_from(source).where(*answered, *known).order_by(outcomes.c.at, outcomes.c.request)
    return [Reported(*row, before=None, answered=True) for row in connection.execute(found)]
