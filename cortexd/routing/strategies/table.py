"""As the routing table has it, or the user's preference: the order in which the candidates came."""

from __future__ import annotations

from cortexd.routing.candidates import Candidate
from cortexd.routing.health import Health


def rank(candidates: list[Candidate], _health: Health, _may_explore: bool) -> list[Candidate]:
    return candidates
