"""What still answers when a budget has no room for the plan: the best models that fit what is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cortexd.catalog import Catalog
from cortexd.config import Config
from cortexd.config.settings import ProviderSettings
from cortexd.domain.money import format_usd
from cortexd.routing.candidates import Candidate, Field, Plan
from cortexd.routing.choice import default_targets, falls_back
from cortexd.routing.health import Health, State
from cortexd.routing.question import Question


def downgrade(
    plan: Plan, question: Question, config: Config, catalog: Catalog, health: Health, left_nano: int
) -> Plan | None:
    """The plan's question with every model whose worst case fits `left_nano` (nano-dollars): providers in the
    plan's order, of each the dearest model first, what costs nothing last. None where nothing fits, or where the
    caller named provider or model."""
    if plan.pinned:
        return None
    field = Field.of(question, config, catalog, health, plan.wishes)
    room = max(left_nano, 0)
    if question.options.max_cost_nano is not None:
        room = min(room, question.options.max_cost_nano)
    reason = f"downgraded: a budget has {format_usd(max(left_nano, 0))} left"
    fitting = [
        item
        for name in _names(plan, config)
        for item in sorted(_capable(field, config.providers[name], reason), key=lambda item: -item.worst_case_nano)
        if item.worst_case_nano <= room
    ]
    if not fitting:
        return None
    fitting.sort(key=lambda item: (item.state is State.OPEN, item.worst_case_nano == 0))
    kept = fitting if falls_back(question.options, config, pinned=False) else fitting[:1]
    return replace(plan, candidates=tuple(kept), downgraded=True)


def _names(plan: Plan, config: Config) -> list[str]:
    """Providers as the plan ranked them, then the others."""
    ranked = list(dict.fromkeys(item.provider for item in plan.candidates))
    return [*ranked, *(target.provider for target in default_targets(config, ranked))]


def _capable(field: Field, settings: ProviderSettings, reason: str) -> Iterator[Candidate]:
    """Every model of the provider that can answer: the configured one and all that the catalogue knows."""
    known = (model.id for model in field.catalog.models_of(settings.name))
    for model in dict.fromkeys([settings.model, *known]):
        if not field.obstacle(settings, model):
            yield field.candidate(settings.name, model, reason)
