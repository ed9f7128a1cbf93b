"""What is told of a request to those who may watch."""

from __future__ import annotations

from cortexd.domain.tasks import TaskType
from cortexd.domain.value import value
from cortexd.ledger import AttemptRecord, Settled


@value
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
