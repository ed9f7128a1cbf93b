"""What is written into the spool, as JSON: whole requests that cost nothing, and the ends of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from cortexd.ledger.records import AttemptRecord, NewRequest, RequestState
from cortexd.ledger.writing.actions import Book, Replay, Settle


class _Whole(msgspec.Struct, tag="request", frozen=True):
    uid: int
    user: str
    request_id: str
    caller_chosen: bool
    content_hash: bytes
    task_type: str
    started_at: datetime
    ended_at: datetime
    labels: Mapping[str, str]
    state: str
    attempts: Sequence[AttemptRecord]


class _End(msgspec.Struct, tag="settlement", frozen=True):
    key: int
    state: str
    attempts: Sequence[AttemptRecord]
    begun_by: str | None = None


_decode = msgspec.json.Decoder(_Whole | _End).decode


def whole(request: NewRequest, state: RequestState, attempts: Sequence[AttemptRecord]) -> bytes:
    """A request that began and ended while the ledger was away. What was decided for it is not kept."""
    return msgspec.json.encode(
        _Whole(
            request.uid,
            request.user,
            request.request_id,
            request.caller_chosen,
            request.content_hash,
            request.task_type,
            request.started_at,
            datetime.now(UTC),
            request.labels,
            state.value,
            _kept(attempts),
        )
    )


def end(action: Settle, instance: str = "") -> bytes:
    """A settlement that `instance` could not write."""
    return msgspec.json.encode(_End(action.key, action.state.value, _kept(action.attempts), instance))


def action_of(spool: str, number: int, document: bytes) -> Replay | None:
    """What books a line; None where it says nothing that this cortexd knows."""
    try:
        found = _decode(document)
        state = RequestState(found.state)
    except (msgspec.DecodeError, ValueError):
        return None
    if isinstance(found, _End):
        return Replay(spool, number, Settle(found.key, state, tuple(found.attempts), begun_by=found.begun_by))
    row = NewRequest(
        found.uid,
        found.user,
        found.request_id,
        found.caller_chosen,
        found.content_hash,
        found.task_type,
        found.started_at,
        found.labels,
    )
    return Replay(spool, number, Book(row, state, tuple(found.attempts), found.ended_at))


def _kept(attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    return [replace(one, error=one.kept_error) for one in attempts]
