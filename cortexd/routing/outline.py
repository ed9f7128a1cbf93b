"""The outline of a plan: who may answer such a question, and who is left out, before costs and health come into it.

It goes by the configuration, the catalogue, the user's wishes and the kind of the question, and so most requests have
one that was made before.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from cortexd.catalog import Catalog
from cortexd.config import Config
from cortexd.config.settings import ANY_MODEL
from cortexd.domain.messages import Strategy
from cortexd.domain.modes import Way
from cortexd.domain.newest import Latest
from cortexd.domain.targets import Target
from cortexd.routing.candidates import BYTES_PER_TOKEN_AT_MOST, Field, LeftOut
from cortexd.routing.choice import Choice, allowed_targets, falls_back, first_choice, full_target, short, way_for
from cortexd.routing.health import Health
from cortexd.routing.question import Question
from cortexd.routing.wishes import Wishes

_MOST = 1024  # that are kept: users, and the models that callers name

Open = tuple[str, str, str]
"""A provider and a model that can answer, and why it comes at its place."""


@dataclass(frozen=True, slots=True)
class Outline:
    """`targets`: all that were considered; of these `can` answer, or are `left_out`. `sticky`: who answers in the
    session. `most_bytes`: the longest text of which the same can be said, None for any."""

    way: Way
    choice: Choice
    sticky: Target | None
    fallback: bool
    targets: tuple[Target, ...]
    can: tuple[Open, ...]
    left_out: tuple[LeftOut, ...]
    most_bytes: int | None

    @property
    def lasting(self) -> bool:
        """Whether another question of the kind has the same: who goes on in a session, and what a server is still to
        say, is looked up each time."""
        return self.sticky is None and not any(target.model == ANY_MODEL for target in self.targets)

    def holds(self, text_bytes: int) -> bool:
        return self.most_bytes is None or text_bytes <= self.most_bytes


class Outlines:
    """Those of late, of one configuration and catalogue. What is found in it is what `outlined` would make."""

    def __init__(self) -> None:
        self._of: tuple[Config, Catalog] | None = None
        self._known: Latest[Hashable, tuple[Wishes, Outline]] = Latest(_MOST)

    def of(self, question: Question, config: Config, catalog: Catalog, health: Health, wishes: Wishes) -> Outline:
        """As `outlined`."""
        key = _kind(question)
        if key is None or wishes.sticky is not None:
            return outlined(question, config, catalog, health, wishes)
        if self._of is None or self._of[0] is not config or self._of[1] is not catalog:
            self._known.clear()
            self._of = config, catalog
        key = (id(wishes), key)
        bytes_, known = question.size().text_bytes, self._known.get(key)
        if known is not None and known[1].holds(bytes_):  # it holds its wishes, so that no others have their id
            return known[1]
        made = outlined(question, config, catalog, health, wishes)
        if made.lasting and made.holds(bytes_):
            self._known.put(key, (wishes, made))
        return made


def _kind(question: Question) -> Hashable | None:
    """All of a question that its outline goes by, but for its length; None where that is more than can be compared."""
    options, raw = question.options, question.raw
    if raw is not None and raw.native:
        return None
    return (
        question.task_type,
        options.provider,
        options.model,
        options.strategy,
        options.learned,
        options.fallback,
        options.privacy,
        question.size().images > 0,
        question.offers_tools,
        question.guard.pinned,
    )


def outlined(question: Question, config: Config, catalog: Catalog, health: Health, wishes: Wishes) -> Outline:
    """Raises UnknownProvider, InvalidArgument, AccessDenied or NoProviderAvailable where nobody may be asked."""
    way = way_for(question, config, wishes)
    choice = first_choice(question, config, catalog, wishes)
    field = Field.of(question, config, catalog, health, wishes.asking_for(choice.first) if choice.pinned else wishes)
    fallback = falls_back(question.options, config, pinned=choice.pinned)
    sticky = who_stays(field, choice)
    targets = considered(choice, sticky, way.strategy, field)
    if not fallback and (choice.pinned or way.strategy is Strategy.TABLE):
        targets = [target for target in targets if target in choice.targets or target == sticky]
    targets = list(dict.fromkeys([*targets, *choice.passed_over]))
    can, left_out = who_can(field, choice, targets)
    contexts = [catalog.model(target.provider, target.model or "").context_tokens for target in targets]
    most = min((context for context in contexts if context is not None), default=None)
    most_bytes = None if most is None else most * BYTES_PER_TOKEN_AT_MOST
    return Outline(way, choice, sticky, fallback, tuple(targets), tuple(can), tuple(left_out), most_bytes)


def considered(choice: Choice, sticky: Target | None, strategy: Strategy, field: Field) -> list[Target]:
    """Whom the choice names, the session's, and one model of every other provider; a strategy chooses among all models
    that the operator has declared."""
    config, task, allowed = field.config, field.question.task_type, field.wishes.allowed
    named = [*choice.targets, *([sticky] if sticky else [])]
    targets = [*named, *allowed_targets(config, task, allowed, {target.provider for target in named})]
    if strategy is not Strategy.TABLE and not choice.pinned:
        targets += allowed_targets(config, task, allowed)
        targets += [Target(name, model) for name, settings in config.providers.items() for model in settings.models]
    return list(dict.fromkeys(targets))


def who_stays(field: Field, choice: Choice) -> Target | None:
    """Who answers in the session, unless the caller pinned another or it cannot answer this question."""
    target = field.wishes.sticky
    settings = field.config.providers.get(target.provider) if target else None
    if choice.pinned or target is None or settings is None:
        return None
    full = full_target(_still_there(target, field), field.question.task_type, field.config, field.wishes)
    return None if field.obstacle(settings, full.model or "") else full


def _still_there(target: Target, field: Field) -> Target:
    """The provider alone where nothing names that model any more: its server may have another one by now."""
    settings, rows = field.config.providers[target.provider], field.config.routing.table.values()
    named = any(target in row for row in (*rows, *field.wishes.targets.values()))
    known = target.model == settings.model or field.catalog.knows(target.provider, target.model or "")
    return target if named or known else Target(target.provider)


def who_can(field: Field, choice: Choice, targets: Iterable[Target]) -> tuple[list[Open], list[LeftOut]]:
    """Who can answer, in the order of `targets`, and who cannot."""
    can: list[Open] = []
    left_out: list[LeftOut] = []
    for target in targets:
        provider, model = target.provider, target.model or ""
        obstacle = field.obstacle(field.config.providers[provider], model)
        if obstacle:
            left_out.append(LeftOut(provider, model, obstacle))
        else:
            reason = choice.reason if target == choice.first else f"fallback after {short(choice.first, field.config)}"
            can.append((provider, model, reason))
    return can, left_out
