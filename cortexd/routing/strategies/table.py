"""As the routing table has it, or the user's preference: the order in which the candidates came."""

from __future__ import annotations

from cortexd.routing.candidates import Candidate, Field


def rank(candidates: list[Candidate], _field: Field, _may_explore: bool) -> list[Candidate]:
    return candidates
