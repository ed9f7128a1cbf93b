"""Domain values as rows of the ledger's tables: bounded, clamped, times in UTC without a zone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cortexd.domain.apps import APP
from cortexd.domain.decided import Decided
from cortexd.domain.messages import Usage
from cortexd.domain.safe_values import bounded_text, token_count
from cortexd.domain.value import value
from cortexd.ledger.records import MAX_NAME, AttemptRecord, Kind, NewRequest, RequestState, StoredRequest

if TYPE_CHECKING:
    from cortexd.ledger.writing.books import Closed, Held

Row = dict[str, Any]

_MOMENT_CHARS = len("2026-11-24 12:00:00.000000")
_MAX_PENDING_LABELS = 256  # characters of JSON
_NO_TOKENS: dict[str, int | None] = dict.fromkeys(
    ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
)


@value
class Lease:
    """Who writes now, on which machine (its number), and until when its pending rows are its own."""

    instance: str
    now: str
    until: str
    host: int = 0


def moment(aware: datetime) -> str:
    """A time as the ledger writes it: UTC, without a zone."""
    utc = aware if aware.tzinfo is UTC else aware.astimezone(UTC)
    return utc.isoformat(" ", "microseconds")[:_MOMENT_CHARS]


def day_of(request: NewRequest) -> str:
    """In the machine's time zone, at its start."""
    return request.started_at.astimezone().date().isoformat()


def pending_row(held: Held, request: NewRequest, lease: Lease) -> Row:
    return {
        "id": held.key,
        "uid": held.uid,
        "user": held.user,
        "request_id": request.request_id,
        "caller_chosen": request.caller_chosen,
        "content_hash": request.content_hash,
        "task_type": request.task_type,
        "state": RequestState.PENDING.value,
        "instance": lease.instance,
        "lease_until": lease.until,
        "started_at": moment(request.started_at),
        "day": held.day,
        "month": held.month,
        "labels": _app_alone(held.app) if held.labels else _labels(request),
        "host": lease.host,
    }


def decision_row(key: int, decided: Decided) -> Row:
    arms = [
        [str(arm.target), round(arm.mean, 5), round(arm.sigma, 5), arm.count, round(arm.penalty, 6), arm.cost_nano]
        for arm in decided.arms
    ]
    named = {name: str(getattr(decided, name)) for name in ("baseline", "greedy", "chosen")}
    text = json.dumps(arms, ensure_ascii=False, separators=(",", ":"))
    return {"request": key, "mode": decided.mode.value, **named, "why": decided.why, "arms": text}


def long_labels(request: NewRequest) -> str:
    """Labels to write when it is settled, as JSON: whoever is refused for nothing shall not fill the disk with them."""
    labels = _labels(request)
    return labels if len(labels) > _MAX_PENDING_LABELS else ""


def settled_row(closed: Closed, state: RequestState, made: Sequence[AttemptRecord], lease: Lease) -> Row:
    """The request's provider is the one that answered, or the last that failed."""
    last = next((attempt for attempt in reversed(made) if attempt.outcome == "ok"), made[-1] if made else None)
    return {
        "key": closed.held.key,
        "own": lease.instance,
        "state": state.value,
        "finished_at": lease.now,
        "provider": name(last.provider) if last else "",
        "model": name(last.model) if last else "",
        "cost_nano": closed.cost_nano,
        "cost_known": closed.cost_known,
    }


def attempt_row(key: int, number: int, attempt: AttemptRecord, nano: int) -> Row:
    return {
        "request": key,
        "number": number,
        "provider": name(attempt.provider),
        "model": name(attempt.model),
        "outcome": str(attempt.outcome),
        "cost_nano": nano,
        "cost_known": attempt.cost_known,
        **_tokens(attempt.usage),
        "latency_ms": attempt.latency_ms,
        "error": attempt.kept_error,
        "first_token_ms": attempt.first_token_ms,
        "prompt_bytes": attempt.prompt_bytes,
        "continued": attempt.continued,
    }


def entry_row(held: Held, kind: Kind, nano: int, now: str) -> Row:
    return {
        "request": held.key,
        "uid": held.uid,
        "kind": kind.value,
        "nano": nano,
        "at": now,
        "day": held.day,
        "month": held.month,
    }


def as_stored(key: int, request: NewRequest) -> StoredRequest:
    """A request of this very group, as a duplicate of it is told."""
    return StoredRequest(
        key=key,
        uid=request.uid,
        request_id=request.request_id,
        caller_chosen=request.caller_chosen,
        content_hash=request.content_hash,
        task_type=request.task_type,
        state=RequestState.PENDING,
        started_at=request.started_at,
        labels=request.labels,
    )


def _tokens(usage: Usage | None) -> dict[str, int | None]:
    if usage is None:
        return _NO_TOKENS
    return {
        "input_tokens": token_count(usage.input_tokens),
        "output_tokens": token_count(usage.output_tokens),
        "cached_tokens": token_count(usage.cached_tokens),
        "cache_write_tokens": token_count(usage.cache_write_tokens),
        "reasoning_tokens": token_count(usage.reasoning_tokens),
    }


def _labels(request: NewRequest) -> str:
    return json.dumps(dict(request.labels)) if request.labels else "{}"


def _app_alone(app: str) -> str:
    """By which a budget goes, also where the daemon dies before all of them are written."""
    return json.dumps({APP: app}) if app else "{}"


@lru_cache(maxsize=1024)  # the same few are written over and over
def name(text: str) -> str:
    return bounded_text(text, MAX_NAME)
