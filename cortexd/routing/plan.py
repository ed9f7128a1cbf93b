"""Who is tried for a question, and in which order: whom the caller named, the session's provider, then by strategy."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cortexd.catalog import Catalog
from cortexd.config import Config, how_to_configure
from cortexd.domain.messages import Options, Strategy
from cortexd.domain.money import format_usd
from cortexd.errors import BudgetExceeded, InvalidArgument, NoProviderAvailable, ProviderNotConfigured, UnknownProvider
from cortexd.routing.candidates import Candidate, Field, LeftOut, Plan, healthy_first
from cortexd.routing.health import Health
from cortexd.routing.question import Question
from cortexd.routing.strategies import ranking
from cortexd.routing.wishes import NONE, Wishes


@dataclass(frozen=True, slots=True)
class _Choice:
    """The provider that the caller, the user or the table names, and why."""

    provider: str
    reason: str
    pinned: bool = False


def plan_route(
    question: Question,
    config: Config,
    catalog: Catalog,
    health: Health,
    *,
    wishes: Wishes = NONE,
) -> Plan:
    """Rank the providers for `question`. Raises UnknownProvider, InvalidArgument, ProviderNotConfigured,
    BudgetExceeded or NoProviderAvailable where nobody can answer."""
    field = Field.of(question, config, catalog, health, wishes)
    choice = _first_choice(question, config, catalog, wishes)
    strategy = question.options.strategy or wishes.strategy
    fallback = falls_back(question.options, config, pinned=choice.pinned)
    sticky = _sticky(field, choice)
    names = provider_order(choice.provider, config)
    if not fallback and (choice.pinned or strategy is Strategy.TABLE):
        names = [name for name in names if name in (choice.provider, sticky)]
    capable, left_out = _judged(field, choice, names)
    ranked = _ranked(field, choice, sticky, strategy, capable)
    plan = Plan(healthy_first(ranked), tuple(left_out), strategy, wishes, choice.pinned)
    plan = _affordable(plan, question.options.max_cost_nano)
    if not plan.candidates:
        raise _nobody(plan, names, config, question)
    named = strategy is Strategy.TABLE or choice.pinned
    leader = sticky or (choice.provider if named else ranked[0].provider)
    return _explained(plan if fallback else replace(plan, candidates=plan.candidates[:1]), leader, config)


def falls_back(options: Options, config: Config, *, pinned: bool) -> bool:
    """Whether others may answer where the first cannot."""
    return config.routing.fallback and not pinned if options.fallback is None else options.fallback


def provider_order(first: str, config: Config) -> list[str]:
    """Every provider once: `first`, the default one, then as configured."""
    return list(dict.fromkeys([first, config.routing.default_provider, *config.providers]))


def _first_choice(question: Question, config: Config, catalog: Catalog, wishes: Wishes) -> _Choice:
    options, task = question.options, question.task_type
    if options.provider is not None:
        if options.provider not in config.providers:
            raise UnknownProvider(
                f"options.provider: unknown provider {options.provider!r}; one of {', '.join(config.providers)}"
            )
        return _Choice(options.provider, f"provider {options.provider} was asked for", pinned=True)
    if options.model is not None:
        name = _provider_of(options.model, config, catalog)
        return _Choice(name, f"model {options.model} was asked for", pinned=True)
    preferred = wishes.providers.get(task)
    if preferred is not None and preferred in config.providers:
        return _Choice(preferred, f"you prefer {preferred} for {task}")
    row = config.routing.table.get(task)
    if row is None:
        return _Choice(config.routing.default_provider, f"{task} has no row; the default provider answers")
    return _Choice(row, f"{task} goes to {row}")


def _provider_of(model: str, config: Config, catalog: Catalog) -> str:
    for name, settings in config.providers.items():
        if settings.model == model or catalog.knows(name, model):
            return name
    raise InvalidArgument(
        f"options.model: no provider is known to have {model!r}; name one with options.provider as well"
    )


def _sticky(field: Field, choice: _Choice) -> str | None:
    """The session's provider, unless the caller pinned another or it cannot answer this question."""
    settings = field.config.providers.get(field.wishes.sticky or "")
    if choice.pinned or settings is None or field.obstacle(settings, settings.model):
        return None
    return settings.name


def _judged(field: Field, choice: _Choice, names: list[str]) -> tuple[list[Candidate], list[LeftOut]]:
    """Who can answer, in the order of `names`, and who cannot."""
    candidates: list[Candidate] = []
    left_out: list[LeftOut] = []
    for name in names:
        settings, first = field.config.providers[name], name == choice.provider
        model = (field.question.options.model if first else None) or settings.model
        obstacle = field.obstacle(settings, model)
        if obstacle:
            left_out.append(LeftOut(name, model, obstacle))
        else:
            reason = choice.reason if first else f"fallback after {choice.provider}"
            candidates.append(field.candidate(name, model, reason))
    return candidates, left_out


def _ranked(
    field: Field, choice: _Choice, sticky: str | None, strategy: Strategy, capable: list[Candidate]
) -> list[Candidate]:
    """By strategy; but before all whom the caller asked for, or the session's provider."""
    leader = choice.provider if choice.pinned else sticky
    reason = choice.reason if choice.pinned else f"session stays with {sticky}"
    ranked = ranking(strategy)(capable, field.health, leader is None)
    first = [replace(item, reason=reason) for item in ranked if item.provider == leader]
    return [*first, *(item for item in ranked if item.provider != leader)]


def _affordable(plan: Plan, limit: int | None) -> Plan:
    """Leave out whoever could cost more than the caller's own limit."""
    if limit is None:
        return plan
    dear = [item for item in plan.candidates if item.worst_case_nano > limit]
    if dear and len(dear) == len(plan.candidates):
        least = min(item.worst_case_nano for item in dear)
        raise BudgetExceeded(
            f"This request may cost {format_usd(least)}, more than max_cost_usd ({format_usd(limit)}). "
            f"Raise max_cost_usd or lower max_tokens."
        )
    words = f"could cost more than max_cost_usd ({format_usd(limit)})"
    return replace(
        plan,
        candidates=tuple(item for item in plan.candidates if item.worst_case_nano <= limit),
        left_out=plan.left_out + tuple(LeftOut(item.provider, item.model, words) for item in dear),
    )


def _nobody(plan: Plan, order: list[str], config: Config, question: Question) -> Exception:
    unconfigured = [name for name in order if not config.providers[name].configured]
    if len(unconfigured) == len(order):
        first = f"{order[0]}: {how_to_configure(config.providers[order[0]])}"
        alone = len(order) == 1
        words = first if alone else f"{first}; no other provider is configured either"
        return ProviderNotConfigured(words, provider=order[0])
    words = "; ".join(f"{item.provider}: {item.reason}" for item in plan.left_out if item.provider not in unconfigured)
    left_out = ",".join(item.provider for item in plan.left_out)
    return NoProviderAvailable(f"No provider can answer this {question.task_type} request. {words}", left_out=left_out)


def _explained(plan: Plan, leader: str, config: Config) -> Plan:
    """Say why the first candidate is not the provider that the caller, the table or the strategy put first."""
    first = plan.candidates[0]
    if first.provider == leader:
        return plan
    left = next((item.reason for item in plan.left_out if item.provider == leader), "")
    because = "it is not configured"
    if config.providers[leader].configured:
        because = left or "it failed repeatedly and is avoided for now"
    led = (replace(first, reason=f"fallback from {leader}: {because}"), *plan.candidates[1:])
    return replace(plan, candidates=led, stands_in_for=leader)
