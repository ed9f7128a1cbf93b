"""What may be asked where nobody can say what a user may spend, or wishes: models of the operator's own, at no cost."""

from __future__ import annotations

from dataclasses import replace

from cortexd.config import Config
from cortexd.routing.candidates import Candidate, Plan


def free_and_local(plan: Plan, config: Config) -> Plan | None:
    """The plan with those alone; None where there are none. Nobody learns from it."""
    kept = tuple(item for item in plan.candidates if is_free_and_local(item, config))
    if not kept:
        return None
    first = kept[0]
    if first is not plan.candidates[0]:
        first = replace(first, reason=f"{first.reason}; the ledger is away, and it costs nothing")
    return replace(plan, candidates=(first, *kept[1:]), learning=None)


def is_free_and_local(candidate: Candidate, config: Config) -> bool:
    """Whether it costs nothing, and every endpoint is the operator's own."""
    return not candidate.worst_case_nano and config.providers[candidate.provider].local
