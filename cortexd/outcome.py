"""What the service tells those above it: an answer, a cost, a routing decision. Costs in nano-dollars."""

from __future__ import annotations

from dataclasses import dataclass

from cortexd.ledger import AttemptRecord, Settled
from cortexd.messages import Answer
from cortexd.routing import Plan, Question
from cortexd.tasks import TaskType


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


@dataclass(frozen=True, slots=True)
class CostEvent:
    """One settled request, for whoever may watch `uid`'s costs. Sums in nano-dollars."""

    uid: int
    request_id: str
    task_type: TaskType
    provider: str
    model: str
    settled: Settled


@dataclass(frozen=True, slots=True)
class Decision:
    """What Route answers: the plan, and the action that such a request would need."""

    question: Question
    plan: Plan
    action: str
