"""What the router says, as frozen structures. Fields are named like the keys of its replies; keys not known here are
ignored, and so are values of another type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

Row = Mapping[str, Any]
_TYPES = {"str": str, "int": int, "bool": bool, "int | None": int, "float | None": float}


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit that binds this user; `severity`: ok, warning, exceeded, or a newer service's word. What is spent and
    reserved is told of the own budget alone. Of scope pause: nothing may be spent until `resets_at`."""

    scope: str = ""
    name: str = ""
    period: str = ""
    limit_nano_usd: int | None = None
    remaining_nano_usd: int | None = None
    resets_at: str = ""
    severity: str = ""
    spent_nano_usd: int | None = None
    reserved_nano_usd: int | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """`state`: ok, degraded, open, unconfigured, or a newer service's word. `last_failure`: why it is not ok, in
    a word; `hint`: how to configure it, in the service's own words."""

    name: str = ""
    state: str = ""
    configured: bool = False
    has_key: bool = False
    local: bool = False
    default_model: str = ""
    last_failure: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One that waits or is under way. `state`: queued, authorizing, held, running, streaming, or a newer
    service's word."""

    request_id: str = ""
    task_type: str = ""
    state: str = ""
    provider: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """A settled request; with `cost_known` False it is booked at its worst case."""

    request_id: str
    task_type: str
    provider: str
    model: str
    cost_nano_usd: int | None = None
    cost_known: bool = True


@dataclass(frozen=True, slots=True)
class Record:
    """A request as the ledger has it. `started_at`: ISO 8601. Empty `provider`: nobody was asked."""

    request_id: str = ""
    task_type: str = ""
    state: str = ""
    provider: str = ""
    model: str = ""
    started_at: str = ""
    cost_nano_usd: int | None = None
    cost_known: bool = True


@dataclass(frozen=True, slots=True)
class Candidate:
    """One that would be asked, and why; amounts are in USD."""

    provider: str = ""
    model: str = ""
    reason: str = ""
    state: str = ""
    likely_cost_usd: float | None = None
    worst_case_cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One that would not be asked, and why."""

    provider: str = ""
    model: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a request would go: `candidates` in the order in which they would be asked, by `strategy`."""

    strategy: str = ""
    candidates: tuple[Candidate, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """A question: `requests` of this user wait for an answer until `until`, and a no follows. `more_nano_usd`: what the
    answer today would allow; `task_type` and `app` are of the one that waits longest."""

    hold_id: str = ""
    period: str = ""
    requests: int | None = None
    until: str = ""
    task_type: str = ""
    app: str = ""
    may_cost_nano_usd: int | None = None
    limit_nano_usd: int | None = None
    left_nano_usd: int | None = None
    more_nano_usd: int | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    """This user's, in nano-dollars; None where they are not known."""

    day_nano_usd: int | None = None
    month_nano_usd: int | None = None


T = TypeVar("T", Budget, Provider, Request, Hold, Record, Candidate, LeftOut, Decision, Sums)


def filled(kind: type[T], row: Row) -> T:
    """A `kind` from those keys of `row` that it has, where their values are of its types."""
    known = {
        item.name: row[item.name]
        for item in fields(kind)
        if item.name in row and type(row[item.name]) is _TYPES[str(item.type)]
    }
    return kind(**known)


def rows_of(kind: type[T], rows: Iterable[Row]) -> tuple[T, ...]:
    return tuple(filled(kind, row) for row in rows)


def cost_of(request_id: str, task_type: str, provider: str, model: str, details: Row) -> Cost:
    nano = details.get("cost_nano_usd")
    known = bool(details.get("cost_known", True))
    return Cost(request_id, task_type, provider, model, nano if type(nano) is int else None, known)


def cost_of_record(record: Record) -> Cost:
    nano, known = record.cost_nano_usd, record.cost_known
    return Cost(record.request_id, record.task_type, record.provider, record.model, nano, known)


def decision_of(row: Row) -> Decision:
    candidates, left_out = row.get("candidates", ()), row.get("left_out", ())
    return Decision(str(row.get("strategy", "")), rows_of(Candidate, candidates), rows_of(LeftOut, left_out))
