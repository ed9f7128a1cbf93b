"""What the learner decided for the newest requests, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from cortexd.domain.decided import Decided, DecidedArm
from cortexd.domain.messages import LearnedMode
from cortexd.domain.outcomes import NOTHING, Outcome, combined
from cortexd.domain.targets import Target
from cortexd.ledger.keeping.schema import decisions, outcomes, requests
from cortexd.ledger.records import Judged, RequestState

_OF_REQUEST = ("id", "task_type", "state", "provider", "model", "cost_nano", "cost_known")
_OF_DECISION = ("mode", "baseline", "greedy", "chosen", "why", "arms")
_AT_ONCE = 500  # requests in one query


def judged(
    connection: Connection, since: datetime, until: datetime, most: int, uid: int | None, task_type: str | None
) -> list[Judged]:
    """As Ledger.judged."""
    columns = [requests.c[name] for name in _OF_REQUEST] + [decisions.c[name] for name in _OF_DECISION]
    chosen = [
        requests.c.state != RequestState.PENDING,
        requests.c.started_at >= _utc(since),
        requests.c.started_at < _utc(until),
    ]
    chosen += [requests.c.uid == uid] if uid is not None else []
    chosen += [requests.c.task_type == task_type] if task_type is not None else []
    source = decisions.join(requests, requests.c.id == decisions.c.request)
    newest = select(*columns).select_from(source).where(*chosen).order_by(decisions.c.request.desc()).limit(most)
    rows = list(connection.execute(newest))[::-1]
    said = _outcomes(connection, [row.id for row in rows])
    return [_judged(row, said.get(row.id, NOTHING)) for row in rows]


def _outcomes(connection: Connection, keys: Sequence[int]) -> dict[int, Outcome]:
    said: dict[int, list[Outcome]] = {}
    for start in range(0, len(keys), _AT_ONCE):
        some = outcomes.c.request.in_(keys[start : start + _AT_ONCE])
        for key, score, weight in connection.execute(
            select(outcomes.c.request, outcomes.c.score, outcomes.c.weight).where(some)
        ):
            said.setdefault(key, []).append(Outcome(score, weight))
    return {key: combined(found) for key, found in said.items()}


def _judged(row: Row[Any], outcome: Outcome) -> Judged:
    baseline, greedy, chosen = (Target.parse(name) for name in (row.baseline, row.greedy, row.chosen))
    arms = tuple(DecidedArm(Target.parse(target), *figures) for target, *figures in json.loads(row.arms))
    decided = Decided(LearnedMode(row.mode), baseline, greedy, chosen, row.why, arms)
    state = RequestState(row.state)
    return Judged(
        row.id, row.task_type, state, row.provider, row.model, row.cost_nano, row.cost_known, decided, outcome
    )


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
