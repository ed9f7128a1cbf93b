"""Whom a question goes to before anything is known of how providers do: by the call, the user, the table; and by which
strategy."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial

from cortexd.catalog import Catalog
from cortexd.config import Config
from cortexd.config.settings import ANY_MODEL
from cortexd.domain.messages import Options, Strategy
from cortexd.domain.modes import Way, way_of
from cortexd.domain.targets import Target, covered
from cortexd.domain.tasks import TaskType
from cortexd.errors import InvalidArgument, NoProviderAvailable, UnknownProvider
from cortexd.routing.allowed import Allowed, nobody_allowed
from cortexd.routing.question import Question
from cortexd.routing.wishes import Wishes


@dataclass(frozen=True, slots=True)
class Choice:
    """Whom the caller, the user or the table names, the first choice first, each with its model; and why.

    `passed_over`: whom a preference or a row names in vain: not allowed to this user, or excluded by him."""

    targets: tuple[Target, ...]
    reason: str
    pinned: bool = False
    passed_over: tuple[Target, ...] = ()

    @property
    def first(self) -> Target:
        return self.targets[0]


def way_for(question: Question, config: Config, wishes: Wishes) -> Way:
    """By the call, the user, whom he prefers for this task type, the machine's settings for it, and the machine."""
    task, routing, options = question.task_type, config.routing, question.options
    preferred, _ = next(_by_rank(task, config, wishes))
    open_ = [item for item in preferred if not wishes.obstacle(task, full_target(item, task, config, wishes))]
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


def allowed_targets(config: Config, task: TaskType, allowed: Allowed, named: Collection[str] = ()) -> Iterator[Target]:
    """As default_targets; where a provider's own model is not allowed, those that are come after it."""
    for target in default_targets(config, named):
        models = allowed.models(task, target.provider, target.model or "")
        yield from (Target(target.provider, model) for model in models)


def first_choice(question: Question, config: Config, catalog: Catalog, wishes: Wishes) -> Choice:
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
        meant = dict.fromkeys(full_target(item, task, config, wishes) for item in targets)
        open_ = tuple(item for item in meant if not wishes.obstacle(task, item))
        passed_over += [item for item in map(partial(_own, config), targets) if wishes.obstacle(task, item)]
        if open_:
            words = [f"{short(item, config)} {wishes.obstacle(task, item)}" for item in passed_over[:1]]
            because = "; ".join((reason.format(short(open_[0], config)), *words))
            return Choice(open_, because, passed_over=tuple(passed_over))
    raise _nobody_open(task, passed_over, wishes)


def _asked_for(target: Target, reason: str, task: TaskType, config: Config, wishes: Wishes) -> Choice:
    """What a caller names stands above what he excludes, not above what the operator allows. Raises AccessDenied."""
    full = full_target(target, task, config, wishes)
    wishes.allowed.check(task, full)
    excluded = ", though you have excluded it" if covered(full, wishes.excluded) else ""
    return Choice((full,), reason + excluded, pinned=True)


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
    yield list(allowed_targets(config, task, wishes.allowed)), "{} is the first whom you may have"


def _nobody_open(task: TaskType, targets: list[Target], wishes: Wishes) -> Exception:
    providers = list(dict.fromkeys(item.provider for item in targets))
    if all(wishes.allowed.obstacle(task, item) for item in targets):
        return nobody_allowed(task, providers)
    return NoProviderAvailable(
        f"You have excluded all whom you may have for {task}. Change that with cortexctl prefs.",
        left_out=",".join(providers),
    )


def full_target(target: Target, task: TaskType, config: Config, wishes: Wishes) -> Target:
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


def _unknown_provider(name: str, config: Config) -> UnknownProvider:
    provider, slash, _model = name.partition("/")
    hint = "; the model goes into options.model" if slash and provider in config.providers else ""
    return UnknownProvider(f"options.provider: unknown provider {name!r}; one of {', '.join(config.providers)}{hint}")


def short(target: Target, config: Config) -> str:
    """For people: a provider's own model goes without saying."""
    own = config.providers[target.provider].model
    return str(Target(target.provider, None if target.model == own else target.model))
