"""Who has the API in whose words a request came: nothing of it is lost there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from cortexd.domain.targets import Target
from cortexd.routing.candidates import Candidate, Field


def own_first(ranked: list[Candidate], field: Field, row: Collection[Target] | None) -> list[Candidate]:
    """The same list, or another one in which who has the body's own API comes before who would get less of it: among
    all, or among those of `row` alone where an operator's table decides."""
    raw = field.question.raw
    if raw is None or not raw.asked.lost:
        return ranked
    has = {item.target: field.config.providers[item.provider].api == raw.form.name for item in ranked}
    own = sorted(ranked, key=lambda item: (row is not None and item.target not in row, not has[item.target]))
    if own[0].target == ranked[0].target:
        return ranked
    lost = ", ".join(raw.asked.lost[:3])
    words = f"{own[0].reason}; has the body's own API, others would get no {lost}"
    return [replace(own[0], reason=words), *own[1:]]
