"""What the service gives its callers: an answer, a routing decision, how it is. Costs in nano-dollars."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import field

from cortexd.domain.messages import Answer
from cortexd.domain.tasks import TaskType
from cortexd.domain.value import value
from cortexd.ledger import AttemptRecord, LedgerState
from cortexd.pool import ReplicaView
from cortexd.routing import Plan, Question


@value
class Completion:
    """An answer with what it took. Costs in nano-dollars over all attempts; `settled` is false where the
    ledger could not be written after the answer had come. `secrets_found`: how many of each kind the request held,
    None where nobody looked. `outcome_wanted`: a word on how well it served would teach somebody who listens.
    `created`: Unix time."""

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
    secrets_found: Mapping[str, int] | None = None
    outcome_wanted: bool = False
    created: int = field(default_factory=lambda: int(time.time()))


def held_bytes(completion: Completion) -> int:
    """What it takes of memory while it is kept, about."""
    answer = completion.answer
    said = len(completion.content) + len(answer.reasoning) + sum(len(call.arguments) for call in answer.tool_calls)
    return said * 4 + 1024 * (1 + len(answer.tool_calls)) + len(answer.raw or b"")


@value
class Condition:
    """How the service is now. `queued_requests`: those that wait, of all users; `providers`: the configured ones, and
    whether each is tried in its turn; `replicas`: their endpoints, where they are watched one by one."""

    uptime_s: int
    active_requests: int
    queued_requests: int
    ledger: LedgerState
    providers: Mapping[str, bool]
    replicas: Mapping[str, Sequence[ReplicaView]] = field(default_factory=dict)


@value
class Decision:
    """What Route answers: the plan, and the action that such a request would need."""

    question: Question
    plan: Plan
    action: str
