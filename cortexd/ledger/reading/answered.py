"""What the newest requests tell of models: the last answers of each for each task type.

Reads the newest requests by their keys, so that a large ledger takes no longer than a small one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from cortexd.domain.answered import Answered
from cortexd.domain.messages import Usage
from cortexd.ledger.engines.driver import Prepared, given
from cortexd.ledger.keeping.schema import attempts, requests
from cortexd.ledger.reading.queries import last_key
from cortexd.ledger.writing.rows import moment

_NEWEST = 20_000  # requests
_EACH = 64  # answers of a model for a task type
_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
_SEEN = ("latency_ms", "first_token_ms", "prompt_bytes", "continued")


def _newest() -> Select[Any]:
    names = (attempts.c.provider, attempts.c.model, requests.c.task_type)
    place = func.row_number().over(partition_by=names, order_by=attempts.c.request.desc())
    figures = (attempts.c[name] for name in (*_TOKENS, *_SEEN))
    chosen = (attempts.c.request > given("after"), attempts.c.outcome == "ok")
    times = (requests.c.started_at >= given("since"), requests.c.started_at < given("until"))
    source = attempts.join(requests, requests.c.id == attempts.c.request)
    columns = (*names, requests.c.started_at, *figures, place.label("place"))
    found = select(*columns).select_from(source).where(*chosen, *times).subquery()
    return select(found).where(found.c.place <= _EACH).order_by(found.c.started_at)


_read = Prepared(lambda _engine: _newest())


def read(connection: Connection, since: datetime, until: datetime) -> list[Answered]:
    """Answered attempts of requests begun since then and before `until`, oldest first."""
    after = last_key(connection) - _NEWEST
    rows = _read.rows(connection, after=after, since=moment(since), until=moment(until))
    return [_answered(*row) for row in rows]


def _answered(provider: str, model: str, task_type: str, began: str, *figures: Any) -> Answered:
    tokens, (latency_ms, first_ms, prompt_bytes, continued, _place) = figures[: len(_TOKENS)], figures[len(_TOKENS) :]
    usage = None if tokens[0] is None else Usage(*(count or 0 for count in tokens))
    at = datetime.fromisoformat(str(began)).replace(tzinfo=UTC).timestamp()
    known = None if continued is None else bool(continued)
    return Answered(provider, model, task_type, usage, latency_ms, at, first_ms, prompt_bytes, known)
