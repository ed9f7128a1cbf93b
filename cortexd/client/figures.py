"""Costs, counters and limits, as frozen structures: nano-dollars where the name says `nano_usd`, else for showing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from cortexd.client.results import Row, filled


@dataclass(frozen=True, slots=True)
class ProviderStats:
    requests: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    cost_nano_usd: int = 0


@dataclass(frozen=True, slots=True)
class Stats:
    """This user's counters since the last reset; and of the service: how long it runs, how many requests of all users
    wait, whether its ledger can be written."""

    total_requests: int
    total_cost_usd: float
    total_cost_nano_usd: int
    providers: dict[str, ProviderStats]
    raw: dict[str, Any] = field(repr=False)
    uptime_s: int = 0
    queued_requests: int = 0
    ledger_writable: bool = True
    ledger_since: int = 0
    """Since when it cannot be written, in seconds since 1970; 0 where it can."""
    ledger_waiting: int = 0
    """Requests that the machine has kept on its disk, to be booked."""
    settings_missing: int | None = None
    """The revision of its fleet's settings that the machine cannot take, where it has none from before, so that nothing
    is paid for; 0 while it could not ask yet; None where all is well."""

    @property
    def counted(self) -> bool:
        """False while a ledger that machines share is away: the counters are not known then, and stand at 0."""
        return "total_requests" in self.raw

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        service = row.get("service", {})
        return cls(
            total_requests=row.get("total_requests", 0),
            total_cost_usd=row.get("total_cost_usd", 0.0),
            total_cost_nano_usd=row.get("total_cost_nano_usd", 0),
            providers={name: filled(ProviderStats, item) for name, item in row.get("providers", {}).items()},
            raw=row,
            uptime_s=service.get("uptime_s", 0),
            queued_requests=service.get("queued_requests", 0),
            ledger_writable=service.get("ledger_writable", True),
            ledger_since=service.get("ledger_since", 0),
            ledger_waiting=service.get("ledger_waiting", 0),
            settings_missing=service.get("settings_missing"),
        )


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A sum of settled requests. Of the first twelve, those grouped by say of which; the others are empty.

    `app_verified`: by the system's word, or cortexctl's, and not by the program's own. `host`: a machine's name.

    `day` is 2026-11-24, `hour` 2026-11-24T13. With `cost_known` False some request was booked at its worst case.
    """

    day: str = ""
    hour: str = ""
    task_type: str = ""
    provider: str = ""
    model: str = ""
    label: str = ""
    uid: int | None = None
    user: str = ""
    app: str = ""
    app_verified: bool = False
    host: str = ""
    host_id: str = ""
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float = 0.0
    cost_nano_usd: int = 0
    cost_known: bool = True
    raw: Row = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class BudgetInfo:
    """A limit that binds this user. `scope`: user, group (then `name` says which), machine, app (what this user may
    spend by the program `name`), own (the cap that this user
    has set, and `at_limit`: ask, downgrade or refuse) or pause (of the own spending). `resets_at` is ISO 8601.

    `severity`: ok, warning, exceeded, or a word of a newer service. `spent_*` and `reserved_*` are None where this user
    may not see them; then `remaining_*` takes what others spent for the next multiple of `step_*`. `all_machines`: of
    scope machine, where that is what everybody spends on the machines that share the ledger.
    """

    scope: str = ""
    name: str = ""
    period: str = ""
    limit_usd: float = 0.0
    limit_nano_usd: int = 0
    resets_at: str = ""
    severity: str = ""
    spent_usd: float | None = None
    spent_nano_usd: int | None = None
    reserved_usd: float | None = None
    reserved_nano_usd: int | None = None
    remaining_usd: float | None = None
    remaining_nano_usd: int | None = None
    step_usd: float | None = None
    step_nano_usd: int | None = None
    at_limit: str = ""
    all_machines: bool = False
    raw: Row = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class CostEvent:
    """One settled request of this user. `seq` counts the subscription's events, so that a gap shows."""

    request_id: str
    task_type: str
    provider: str
    model: str
    cost_usd: float
    cost_nano_usd: int
    cost_known: bool
    seq: int
    day_usd: float
    month_usd: float

    @classmethod
    def of(cls, request_id: str, task_type: str, provider: str, model: str, cost_usd: float, details: Row) -> Self:
        return cls(
            request_id,
            task_type,
            provider,
            model,
            cost_usd,
            details.get("cost_nano_usd", 0),
            details.get("cost_known", True),
            details.get("seq", 0),
            details.get("day_usd", 0.0),
            details.get("month_usd", 0.0),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where this user's figures stood when the subscription began, or began again."""

    day_usd: float = 0.0
    month_usd: float = 0.0
    total_requests: int = 0
    total_cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class BudgetThreshold:
    """This user's spending just passed `fraction` of the limit of `period` (day or month)."""

    period: str
    fraction: float
    spent_usd: float
    limit_usd: float


@dataclass(frozen=True, slots=True)
class PeriodStarted:
    """A new day or month (`period`) has begun on the machine; its sums start from nothing."""

    period: str


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """The service left the bus, or is back on it."""

    running: bool
