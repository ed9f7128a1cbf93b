"""What the service tells those above it: an answer, a cost, a routing decision. Costs in nano-dollars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cortexd.domain.messages import Answer
from cortexd.domain.tasks import TaskType
from cortexd.errors import CortexError
from cortexd.ledger import AttemptRecord, Settled
from cortexd.providers import Delta
from cortexd.routing import Plan, Question


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer with what it took. Costs in nano-dollars over all attempts; `settled` is false where the
    ledger could not be written after the answer had come."""

    request_id: str
    task_type: TaskType
    content: str
    provider: str
    model: str
    cost_nano: int
    cost_known: bool
    latency_ms: int
    route_reason: str
    finish_reason: str
    answer: Answer
    attempts: tuple[AttemptRecord, ...]
    settled: bool = True
    cache_hit: bool = False
    dropped_options: tuple[str, ...] = ()


class Teller(Protocol):
    """What a request tells a stream of its answer. Each event waits while the reader is behind."""

    @property
    def spoke(self) -> bool:
        """Whether any delta has been sent."""

    @property
    def behind(self) -> bool:
        """Whether the last event still waits, or waited in vain, for its reader."""

    async def deltas(self, deltas: Sequence[Delta]) -> None: ...

    async def fallback(self, provider: str, model: str, reason: str) -> None: ...


class Sink(Teller, Protocol):
    """Where a stream's events go."""

    async def done(self, completion: Completion) -> None: ...

    async def failed(self, error: CortexError) -> None: ...

    def close(self) -> None:
        """No more events; the reader sees the end."""


@dataclass(frozen=True, slots=True)
class CostEvent:
    """One settled request, for whoever may watch `uid`'s costs. Sums in nano-dollars.

    `provider` and `model`: who answered, or failed last; empty where nobody was asked. `state`: done, failed or
    cancelled. `latency_ms`: from the reservation to the settlement. `late`: the answer was delivered before the ledger
    could be written.
    """

    uid: int
    request_id: str
    task_type: TaskType
    provider: str
    model: str
    settled: Settled
    state: str
    attempts: tuple[AttemptRecord, ...]
    latency_ms: int
    late: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """How the service is now. `queued_requests`: those that wait, of all users; `ledger_writable`: False from a failed
    write to the next that succeeds; `providers`: the configured ones, and whether each is tried in its turn."""

    uptime_s: int
    active_requests: int
    queued_requests: int
    ledger_writable: bool
    providers: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Decision:
    """What Route answers: the plan, and the action that such a request would need."""

    question: Question
    plan: Plan
    action: str
