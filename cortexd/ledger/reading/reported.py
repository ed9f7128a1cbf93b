"""How well the newest requests went, by those who made them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter

from sqlalchemy import Connection, select

from cortexd.domain.learned import Reported
from cortexd.domain.outcomes import NOTHING, Outcome, combined
from cortexd.ledger.keeping.schema import outcomes, requests
from cortexd.ledger.reading.queries import last_key
from cortexd.ledger.records import RequestState

_NEWEST = 20_000  # requests


def read(connection: Connection, until: datetime) -> list[Reported]:
    """Outcomes that were reported before `until` (aware) of answered requests, in the order of their last reports."""
    of_outcome = (outcomes.c.request, outcomes.c.score, outcomes.c.weight, outcomes.c.at)
    columns = (requests.c.task_type, requests.c.provider, requests.c.model, *of_outcome)
    answered = (requests.c.state == RequestState.DONE.value, requests.c.provider != "")
    known = (
        outcomes.c.request > last_key(connection) - _NEWEST,
        outcomes.c.at < until.astimezone(UTC).replace(tzinfo=None),
    )
    source = outcomes.join(requests, requests.c.id == outcomes.c.request)
    found = select(*columns).select_from(source).where(*answered, *known).order_by(outcomes.c.request)
    ordered: list[tuple[datetime, int, Reported]] = []
    for key, group in groupby(connection.execute(found), attrgetter("request")):
        rows = list(group)
        one, now = rows[0], combined(Outcome(row.score, row.weight) for row in rows)
        reported = Reported(one.task_type, one.provider, one.model, now, NOTHING, answered=True)
        ordered.append((max(row.at for row in rows), key, reported))
    return [reported for _at, _key, reported in sorted(ordered, key=lambda item: item[:2])]
