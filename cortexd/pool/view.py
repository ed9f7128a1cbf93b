"""What people see of a pool's endpoints."""

from __future__ import annotations

from dataclasses import dataclass

from cortexd.pool.replica_health import ReplicaState


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """`address`: host and port. `latency_ms`: of an answer of late, None where unknown. `share`: of the calls that it
    would get now, from 0 to 1. `credential`: the name of its own key, "" where it has none."""

    address: str
    local: bool
    state: ReplicaState
    in_flight: int
    max_in_flight: int | None
    latency_ms: float | None
    share: float
    last_failure: str
    has_key: bool = False
    credential: str = ""
