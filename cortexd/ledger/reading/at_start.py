"""What a daemon reads of its ledger as it starts, in SQL that all of its databases understand.

So it can be read over a bare driver too, before SQLAlchemy is there. Values are the driver's own: a time may be text.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Protocol

from cortexd.domain.answered import Answered
from cortexd.domain.learned import Cell, Learned
from cortexd.domain.messages import Usage
from cortexd.domain.own_cap import AtLimit, Extra, OwnCap
from cortexd.domain.targets import Target
from cortexd.ledger.records import LimitOverride, Totals
from cortexd.ledger.writing.rows import moment

_HALF = 32  # bits of `low`, as queries.exact has it
_NEWEST = 20_000  # requests, so that a large ledger takes no longer than a small one
_EACH = 64  # answers of a model for a task type
_TOKENS = 5  # columns of _ANSWERED

_TOTALS = "SELECT sum(requests), sum(high), sum(low) FROM rollups"
_OWNERS = 'SELECT uid, "user" FROM owners'
_OVERRIDES = "SELECT scope, name, day_nano, month_nano FROM budget_overrides ORDER BY scope, name"
_OWN_CAPS = """
SELECT uid, day_nano, month_nano, at_limit, paused_until, extra_day, extra_day_nano, extra_month, extra_month_nano
FROM own_caps
"""
_CELLS = "SELECT task_type, provider, model, good, bad, count, seen FROM learned_cells ORDER BY seq"
_COUNTS = 'SELECT name, "of", value FROM learned_counts'
_ANSWERED = """
SELECT provider, model, task_type, started_at,
    input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens,
    latency_ms, first_token_ms, prompt_bytes, continued
FROM (
    SELECT attempts.*, requests.task_type, requests.started_at,
        row_number() OVER (
            PARTITION BY attempts.provider, attempts.model, requests.task_type ORDER BY attempts.request DESC
        ) AS place
    FROM attempts JOIN requests ON requests.id = attempts.request
    WHERE attempts.request > (SELECT coalesce(max(id), 0) FROM requests) - :newest AND attempts.outcome = 'ok'
        AND requests.started_at >= :since AND requests.started_at < :until
) AS found
WHERE place <= :each ORDER BY started_at
"""
_OLD = """
SELECT EXISTS (SELECT 1 FROM requests WHERE day < :day) OR EXISTS (SELECT 1 FROM learned_cells WHERE at < :moment)
    OR EXISTS (SELECT 1 FROM hosts WHERE last_seen < :moment)
"""


class Rows(Protocol):
    """All rows that a statement gives. Its values are named in it with a colon."""

    def __call__(self, statement: str, /, **values: Any) -> list[tuple[Any, ...]]: ...


def totals(rows: Rows) -> Totals:
    """All users, all time."""
    [(count, high, low)] = rows(_TOTALS)
    return Totals(int(count or 0), (int(high or 0) << _HALF) + int(low or 0))


def owners(rows: Rows) -> dict[int, str]:
    """The name that each uid had last."""
    return dict(rows(_OWNERS))


def budget_overrides(rows: Rows) -> dict[tuple[str, str], LimitOverride]:
    """By scope and name."""
    return {(scope, name): LimitOverride(*nanos) for scope, name, *nanos in rows(_OVERRIDES)}


def own_caps(rows: Rows) -> dict[int, OwnCap]:
    """By uid."""
    return {uid: _cap(*columns) for uid, *columns in rows(_OWN_CAPS)}


def learned(rows: Rows) -> Learned:
    """What outcomes and decisions have taught, all of it."""
    cells = {(task, Target(provider, model)): Cell(*figures) for task, provider, model, *figures in rows(_CELLS)}
    counts = {(name, of): value for name, of, value in rows(_COUNTS)}
    return Learned(cells, counts, begun=bool(counts))


def answered(rows: Rows, since: datetime, until: datetime) -> list[Answered]:
    """The last answers of each model for each task type, to requests begun since then and before `until` (aware),
    oldest first; of the newest requests alone."""
    found = rows(_ANSWERED, newest=_NEWEST, each=_EACH, since=moment(since), until=moment(until))
    return [_answered(*row) for row in found]


def anything_old(rows: Rows, before: date, midnight: datetime) -> bool:
    """Whether there are requests of days before `before`, or anything else that nothing has changed since midnight
    (aware)."""
    [(found,)] = rows(_OLD, day=before.isoformat(), moment=moment(midnight))
    return bool(found)


def _cap(
    day: int | None, month: int | None, at_limit: str, until: Any, of_day: str, more: int, of_month: str, most: int
) -> OwnCap:
    paused_until = None if until is None else _aware(until)
    return OwnCap(day, month, AtLimit(at_limit), paused_until, Extra(of_day, more), Extra(of_month, most))


def _answered(provider: str, model: str, task_type: str, began: Any, *figures: Any) -> Answered:
    tokens, (latency_ms, first_ms, prompt_bytes, continued) = figures[:_TOKENS], figures[_TOKENS:]
    usage = None if tokens[0] is None else Usage(*(count or 0 for count in tokens))
    known = None if continued is None else bool(continued)
    at = _aware(began).timestamp()
    return Answered(provider, model, task_type, usage, latency_ms, at, first_ms, prompt_bytes, known)


def _aware(found: Any) -> datetime:
    return datetime.fromisoformat(str(found)).replace(tzinfo=UTC)
