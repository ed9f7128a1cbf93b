"""Who is tried for a question, and in which order: whom the caller named, who answers in the session, then by
strategy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from cortexd.authority import Action, action_for
from cortexd.catalog import Catalog
from cortexd.config import Config, how_to_configure
from cortexd.config.settings import ANY_MODEL, ProviderSettings
from cortexd.domain.messages import LearnedMode, Options, Strategy
from cortexd.domain.modes import Way, way_of
from cortexd.domain.money import format_usd
from cortexd.domain.targets import Target, covered
from cortexd.domain.tasks import TaskType
from cortexd.errors import (
    UNSUITED,
    BudgetExceeded,
    InvalidArgument,
    NoProviderAvailable,
    ProviderNotConfigured,
    UnknownProvider,
)
from cortexd.routing.allowed import Allowed, nobody_allowed
from cortexd.routing.candidates import Candidate, Field, Learning, LeftOut, Plan, Room, healthy_first, who_answers
from cortexd.routing.exclusions import Case, barred
from cortexd.routing.health import Health, State
from cortexd.routing.learned import Learner
from cortexd.routing.learning import learning_of
from cortexd.routing.observed import Observed
from cortexd.routing.own_api import own_first
from cortexd.routing.question import Question
from cortexd.routing.strategies import ranking
from cortexd.routing.wishes import NONE, Wishes


@dataclass(frozen=True, slots=True)
class _Choice:
    """Whom the caller, the user or the table names, the first choice first, each with its model; and why.

    `passed_over`: whom a preference or a row names in vain: not allowed to this user, or excluded by him."""

    targets: tuple[Target, ...]
    reason: str
    pinned: bool = False
    passed_over: tuple[Target, ...] = ()

    @property
    def first(self) -> Target:
        return self.targets[0]


def plan_route(
    question: Question,
    config: Config,
    catalog: Catalog,
    health: Health,
    *,
    wishes: Wishes = NONE,
    observed: Observed | None = None,
    room: Room | None = None,
    learner: Learner | None = None,
    seed: int = 0,
    dry_run: bool = False,
    near_end: bool = False,
    talked_with: Callable[[], Target | None] = lambda: None,
) -> Plan:
    """Rank who could answer `question`. Raises UnknownProvider, InvalidArgument, ProviderNotConfigured,
    BudgetExceeded or NoProviderAvailable where nobody can answer.

    `dry_run`: nobody will be asked, so that nothing is tried for learning, and every candidate has its forecast.
    `seed`: the request's, of what is left to chance. Where outcomes decide, or are watched: `near_end`, a budget of the
    caller's has little left; `talked_with`, who gave the last answer of a conversation without a session."""
    way = _way(question, config, wishes)
    strategy, learns = way.strategy, way.mode is not LearnedMode.OFF
    forecasts = dry_run or learns or strategy is not Strategy.TABLE
    field = Field.of(question, config, catalog, health, wishes, observed, room, forecasts=forecasts)
    choice = _first_choice(question, config, catalog, wishes)
    if choice.pinned:
        field = replace(field, wishes=wishes.asking_for(choice.first))
    fallback = falls_back(question.options, config, pinned=choice.pinned)
    sticky = _sticky(field, choice)
    targets = _considered(choice, sticky, strategy, field)
    if not fallback and (choice.pinned or strategy is Strategy.TABLE):
        targets = [target for target in targets if target in choice.targets or target == sticky]
    targets = list(dict.fromkeys([*targets, *choice.passed_over]))
    capable, left_out = _judged(field, choice, targets)
    privileged = _privileged(question, config)
    if learns:
        case = Case(question, wishes, choice.pinned, privileged, sticky is not None, near_end, dry_run)
        with_whom = sticky or who_answers(wishes, config) or talked_with()
        leader = choice.first if choice.pinned else sticky
        field = field.learning(learner, seed, way.mode, barred(case), leader, with_whom)
    may_explore = not (dry_run or sticky or choice.pinned or privileged)
    by_rank = _ranked(field, choice, sticky, ranking(strategy)(capable, field, may_explore))
    bound, row = choice.pinned or sticky, choice.targets if strategy is Strategy.TABLE else None
    ranked = by_rank if bound or not by_rank else own_first(by_rank, field, row)
    insists = question.options.fallback is True
    plan = Plan(healthy_first(ranked), tuple(left_out), strategy, wishes, choice.pinned, insists=insists)
    plan = _affordable(plan, question.options.max_cost_nano)
    if not plan.candidates:
        raise _nobody(plan, targets, config, question)
    named = (strategy is Strategy.TABLE and ranked is by_rank) or choice.pinned
    leader = sticky or (choice.first if named else ranked[0].target)
    if learns:
        plan = replace(plan, learning=_learning(plan, capable, ranked, choice, sticky, way, field))
    return _busy(_explained(plan if fallback else replace(plan, candidates=plan.candidates[:1]), leader, config))


def _way(question: Question, config: Config, wishes: Wishes) -> Way:
    """By the call, the user, whom he prefers for this task type, the machine's settings for it, and the machine."""
    task, routing, options = question.task_type, config.routing, question.options
    preferred, _ = next(_by_rank(task, config, wishes))
    open_ = [item for item in preferred if not wishes.obstacle(task, _full(item, task, config, wishes))]
    own = wishes.strategy or (Strategy.TABLE if open_ else None)
    return way_of(
        (
            (options.strategy, options.learned),
            (own, wishes.learned),
            (routing.strategies.get(task), routing.learned.modes.get(task)),
            (routing.strategy, routing.learned.mode),
        )
    )


def falls_back(options: Options, config: Config, *, pinned: bool) -> bool:
    """Whether others may answer where the first cannot."""
    return config.routing.fallback and not pinned if options.fallback is None else options.fallback


def default_targets(config: Config, named: Collection[str] = ()) -> list[Target]:
    """Every provider but those `named` with its own model: the default one, then as configured."""
    order = dict.fromkeys([config.routing.default_provider, *config.providers])
    return [Target(name, config.providers[name].model) for name in order if name not in named]


def _considered(choice: _Choice, sticky: Target | None, strategy: Strategy, field: Field) -> list[Target]:
    """Whom the choice names, the session's, and one model of every other provider; a strategy chooses among all models
    that the operator has declared."""
    config, task, allowed = field.config, field.question.task_type, field.wishes.allowed
    named = [*choice.targets, *([sticky] if sticky else [])]
    targets = [*named, *_allowed_targets(config, task, allowed, {target.provider for target in named})]
    if strategy is not Strategy.TABLE and not choice.pinned:
        targets += _allowed_targets(config, task, allowed)
        targets += [Target(name, model) for name, settings in config.providers.items() for model in settings.models]
    return list(dict.fromkeys(targets))


def _allowed_targets(config: Config, task: TaskType, allowed: Allowed, named: Collection[str] = ()) -> Iterator[Target]:
    """As default_targets; where a provider's own model is not allowed, those that are come after it."""
    for target in default_targets(config, named):
        models = allowed.models(task, target.provider, target.model or "")
        yield from (Target(target.provider, model) for model in models)


def _first_choice(question: Question, config: Config, catalog: Catalog, wishes: Wishes) -> _Choice:
    options, task = question.options, question.task_type
    if options.provider is not None:
        if options.provider not in config.providers:
            raise _unknown_provider(options.provider, config)
        target = Target(options.provider, options.model)
        return _asked_for(target, f"provider {options.provider} was asked for", task, config, wishes)
    if options.model is not None:
        target = Target(_provider_of(options.model, task, config, catalog, wishes), options.model)
        return _asked_for(target, f"model {options.model} was asked for", task, config, wishes)
    passed_over: list[Target] = []
    for targets, reason in _by_rank(task, config, wishes):
        meant = dict.fromkeys(_full(item, task, config, wishes) for item in targets)
        open_ = tuple(item for item in meant if not wishes.obstacle(task, item))
        passed_over += [item for item in map(partial(_own, config), targets) if wishes.obstacle(task, item)]
        if open_:
            words = [f"{_short(item, config)} {wishes.obstacle(task, item)}" for item in passed_over[:1]]
            because = "; ".join((reason.format(_short(open_[0], config)), *words))
            return _Choice(open_, because, passed_over=tuple(passed_over))
    raise _nobody_open(task, passed_over, wishes)


def _asked_for(target: Target, reason: str, task: TaskType, config: Config, wishes: Wishes) -> _Choice:
    """What a caller names stands above what he excludes, not above what the operator allows. Raises AccessDenied."""
    full = _full(target, task, config, wishes)
    wishes.allowed.check(task, full)
    excluded = ", though you have excluded it" if covered(full, wishes.excluded) else ""
    return _Choice((full,), reason + excluded, pinned=True)


def _by_rank(task: TaskType, config: Config, wishes: Wishes) -> Iterator[tuple[list[Target], str]]:
    """Whom to choose from, and why: the first of these in which somebody may be chosen."""
    yield (
        [item for item in wishes.targets.get(task, ()) if item.provider in config.providers],
        f"you prefer {{}} for {task}",
    )
    row = config.routing.table.get(task)
    if row is None:
        yield [Target(config.routing.default_provider)], f"{task} has no row; the default provider answers"
    else:
        yield list(row), f"{task} goes to {{}}"
    yield list(_allowed_targets(config, task, wishes.allowed)), "{} is the first whom you may have"


def _nobody_open(task: TaskType, targets: list[Target], wishes: Wishes) -> Exception:
    providers = list(dict.fromkeys(item.provider for item in targets))
    if all(wishes.allowed.obstacle(task, item) for item in targets):
        return nobody_allowed(task, providers)
    return NoProviderAvailable(
        f"You have excluded all whom you may have for {task}. Change that with cortexctl prefs.",
        left_out=",".join(providers),
    )


def _full(target: Target, task: TaskType, config: Config, wishes: Wishes) -> Target:
    """With the provider's own model where none is named, or the first that is allowed in its place."""
    if target.model == ANY_MODEL:
        target = Target(target.provider)
    return wishes.allowed.full(task, target, config.providers[target.provider].model)


def _own(config: Config, target: Target) -> Target:
    """With the provider's own model where none is named."""
    named = None if target.model == ANY_MODEL else target.model
    return Target(target.provider, named or config.providers[target.provider].model)


def _provider_of(model: str, task: TaskType, config: Config, catalog: Catalog, wishes: Wishes) -> str:
    """The first that has it and that this user wants and may have, or else the first that has it."""
    having = [name for name, item in config.providers.items() if item.model == model or catalog.knows(name, model)]
    if having:
        open_ = (name for name in having if not wishes.obstacle(task, Target(name, model)))
        allowed = (name for name in having if not wishes.allowed.obstacle(task, Target(name, model)))
        return next(open_, next(allowed, having[0]))
    raise InvalidArgument(
        f"options.model: no provider is known to have {model!r}; name one with options.provider as well"
    )


def _sticky(field: Field, choice: _Choice) -> Target | None:
    """Who answers in the session, unless the caller pinned another or it cannot answer this question."""
    target = field.wishes.sticky
    settings = field.config.providers.get(target.provider) if target else None
    if choice.pinned or target is None or settings is None:
        return None
    full = _full(_still_there(target, field), field.question.task_type, field.config, field.wishes)
    return None if field.obstacle(settings, full.model or "") else full


def _still_there(target: Target, field: Field) -> Target:
    """The provider alone where nothing names that model any more: its server may have another one by now."""
    settings, rows = field.config.providers[target.provider], field.config.routing.table.values()
    named = any(target in row for row in (*rows, *field.wishes.targets.values()))
    known = target.model == settings.model or field.catalog.knows(target.provider, target.model or "")
    return target if named or known else Target(target.provider)


def _judged(field: Field, choice: _Choice, targets: list[Target]) -> tuple[list[Candidate], list[LeftOut]]:
    """Who can answer, in the order of `targets`, and who cannot."""
    candidates: list[Candidate] = []
    left_out: list[LeftOut] = []
    for target in targets:
        provider, model = target.provider, target.model or ""
        obstacle = field.obstacle(field.config.providers[provider], model)
        if obstacle:
            left_out.append(LeftOut(provider, model, obstacle))
        else:
            reason = choice.reason if target == choice.first else f"fallback after {_short(choice.first, field.config)}"
            candidates.append(field.candidate(provider, model, reason))
    return candidates, left_out


def _short(target: Target, config: Config) -> str:
    """For people: a provider's own model goes without saying."""
    own = config.providers[target.provider].model
    return str(Target(target.provider, None if target.model == own else target.model))


def _privileged(question: Question, config: Config) -> bool:
    tools = question.offers_tools
    return action_for(question.task_type, question.options, config.authorization, tools) is not Action.COMPLETE


def _ranked(field: Field, choice: _Choice, sticky: Target | None, ranked: list[Candidate]) -> list[Candidate]:
    """As the strategy ranked them; but before all whom the caller asked for, or who answers in the session."""
    leader = choice.first if choice.pinned else sticky
    reason = choice.reason if choice.pinned or sticky is None else f"session stays with {_short(sticky, field.config)}"
    first = [replace(item, reason=reason) for item in ranked if item.target == leader]
    return [*first, *(item for item in ranked if item.target != leader)]


def _learning(
    plan: Plan, capable: list[Candidate], ranked: list[Candidate], choice: _Choice, sticky: Target | None,
    way: Way, field: Field,
) -> Learning:  # fmt: skip
    """Of a plan in which outcomes decided, or beside one: over all that they would have had to choose among."""
    if way.mode is LearnedMode.APPLY:
        without = healthy_first(_ranked(field, choice, sticky, ranking(way.baseline)(capable, field, False)))
        affordable = {item.target for item in plan.candidates}
        baseline = next(item.target for item in without if item.target in affordable)
        return learning_of(plan, ranked, baseline, way, field)
    targets = {item.target for item in capable}
    others = () if choice.pinned else _considered(choice, sticky, Strategy.LEARNED, field)
    more, _ = _judged(field, choice, [target for target in others if target not in targets])
    judged = ranking(Strategy.LEARNED)([*capable, *more], field, True)
    return learning_of(plan, judged, plan.candidates[0].target, way, field)


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


def _unknown_provider(name: str, config: Config) -> UnknownProvider:
    provider, slash, _model = name.partition("/")
    hint = "; the model goes into options.model" if slash and provider in config.providers else ""
    return UnknownProvider(f"options.provider: unknown provider {name!r}; one of {', '.join(config.providers)}{hint}")


def _nobody(plan: Plan, targets: list[Target], config: Config, question: Question) -> Exception:
    order = list(dict.fromkeys(target.provider for target in targets))
    unconfigured = [name for name in order if not config.providers[name].configured]
    if len(unconfigured) == len(order):
        first = f"{order[0]}: {how_to_configure(config.providers[order[0]])}"
        alone = len(order) == 1
        words = first if alone else f"{first}. No other provider is configured either."
        return ProviderNotConfigured(words, provider=order[0])
    if words := _untranslatable(question, [config.providers[name] for name in order if name not in unconfigured]):
        return InvalidArgument(words)
    words = "; ".join(f"{item.provider}: {item.reason}" for item in plan.left_out if item.provider not in unconfigured)
    left_out = ",".join(dict.fromkeys(item.provider for item in plan.left_out))
    if question.guard.pinned:
        named = question.options.provider or question.options.model
        others = any(item.has_local for name, item in config.providers.items() if name not in order)
        step = "Name no provider and no model" if named and others else "Have a local model configured (local = true)"
        words += f". {step}, take the secrets out, or begin a new session."
    words = f"No provider can answer this {question.task_type} request. {words}"
    if any(item.model == ANY_MODEL for item in plan.left_out):  # its server may say later which models it has
        return NoProviderAvailable(words, left_out=left_out)
    return NoProviderAvailable(words, left_out=left_out, cause=UNSUITED)


def _untranslatable(question: Question, asked: Sequence[ProviderSettings]) -> str:
    """Why nobody among `asked` could ever take a vendor's own body; "" where that is not what is wrong."""
    raw = question.raw
    if raw is None or not raw.native or any(settings.api == raw.form.name for settings in asked):
        return ""
    return f'The body has no translation ({raw.native}). Ask a provider with api = "{raw.form.name}".'


def _busy(plan: Plan) -> Plan:
    """Say who has no place, and that the first one is waited for where it has none either."""
    if not any(item.full for item in plan.candidates):
        return plan
    [first, *others] = plan.candidates
    led = replace(first, reason=f"{first.reason}; {first.full}, waits for a place") if first.full else first
    return replace(plan, candidates=(led, *(replace(item, reason=item.full or item.reason) for item in others)))


def _explained(plan: Plan, leader: Target, config: Config) -> Plan:
    """Say why the first candidate is not the one that the caller, the table or the strategy put first."""
    first = plan.candidates[0]
    if first.target == leader:
        return plan
    left = next((item.reason for item in plan.left_out if Target(item.provider, item.model) == leader), "")
    led_by = next((item for item in plan.candidates if item.target == leader), None)
    if led_by is not None and led_by.full and led_by.state is not State.OPEN:
        left = led_by.full
    because = "it is not configured"
    if config.providers[leader.provider].configured:
        because = left or "it failed of late and is avoided for now"
    name = leader.provider if first.provider != leader.provider else str(leader)
    led = (replace(first, reason=f"fallback from {name}: {because}"), *plan.candidates[1:])
    return replace(plan, candidates=led, stands_in_for=name)
