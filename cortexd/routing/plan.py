"""Who is tried for a question, and in which order: whom the caller named, who answers in the session, then by
strategy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from cortexd.authority import Action, action_for
from cortexd.catalog import Catalog
from cortexd.config import Config, how_to_configure
from cortexd.config.settings import ANY_MODEL, ProviderSettings
from cortexd.domain.messages import LearnedMode, Strategy
from cortexd.domain.modes import Way
from cortexd.domain.money import format_usd
from cortexd.domain.targets import Target
from cortexd.errors import UNSUITED, BudgetExceeded, InvalidArgument, NoProviderAvailable, ProviderNotConfigured
from cortexd.routing.candidates import Candidate, Field, Learning, LeftOut, Plan, Room, healthy_first, who_answers
from cortexd.routing.choice import Choice, short
from cortexd.routing.exclusions import Case, barred
from cortexd.routing.health import Health, State
from cortexd.routing.learned import Learner
from cortexd.routing.learning import learning_of
from cortexd.routing.observed import Observed
from cortexd.routing.outline import Outlines, considered, outlined, who_can
from cortexd.routing.own_api import own_first
from cortexd.routing.question import Question
from cortexd.routing.strategies import ranking
from cortexd.routing.wishes import NONE, Wishes


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
    outlines: Outlines | None = None,
) -> Plan:
    """Rank who could answer `question`. Raises UnknownProvider, InvalidArgument, ProviderNotConfigured,
    BudgetExceeded or NoProviderAvailable where nobody can answer.

    `dry_run`: nobody will be asked, so that nothing is tried for learning, and every candidate has its forecast.
    `seed`: the request's, of what is left to chance. Where outcomes decide, or are watched: `near_end`, a budget of the
    caller's has little left; `talked_with`, who gave the last answer of a conversation without a session. `outlines`:
    those of earlier questions, which save time."""
    outline = (outlined if outlines is None else outlines.of)(question, config, catalog, health, wishes)
    way, choice, sticky = outline.way, outline.choice, outline.sticky
    strategy, learns = way.strategy, way.mode is not LearnedMode.OFF
    forecasts = dry_run or learns or strategy is not Strategy.TABLE
    own = wishes.asking_for(choice.first) if choice.pinned else wishes
    field = Field.of(question, config, catalog, health, own, observed, room, forecasts=forecasts)
    capable = [field.candidate(*can) for can in outline.can]
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
    plan = Plan(healthy_first(ranked), outline.left_out, strategy, wishes, choice.pinned, insists=insists)
    plan = _affordable(plan, question.options.max_cost_nano)
    if not plan.candidates:
        raise _nobody(plan, outline.targets, config, question)
    named = (strategy is Strategy.TABLE and ranked is by_rank) or choice.pinned
    leader = sticky or (choice.first if named else ranked[0].target)
    if learns:
        plan = replace(plan, learning=_learning(plan, capable, ranked, choice, sticky, way, field))
    if not outline.fallback:
        plan = replace(plan, candidates=plan.candidates[:1])
    return _busy(_explained(plan, leader, config))


def _privileged(question: Question, config: Config) -> bool:
    tools = question.offers_tools
    return action_for(question.task_type, question.options, config.authorization, tools) is not Action.COMPLETE


def _ranked(field: Field, choice: Choice, sticky: Target | None, ranked: list[Candidate]) -> list[Candidate]:
    """As the strategy ranked them; but before all whom the caller asked for, or who answers in the session."""
    leader = choice.first if choice.pinned else sticky
    reason = choice.reason if choice.pinned or sticky is None else f"session stays with {short(sticky, field.config)}"
    first = [replace(item, reason=reason) for item in ranked if item.target == leader]
    return [*first, *(item for item in ranked if item.target != leader)]


def _learning(
    plan: Plan, capable: list[Candidate], ranked: list[Candidate], choice: Choice, sticky: Target | None,
    way: Way, field: Field,
) -> Learning:  # fmt: skip
    """Of a plan in which outcomes decided, or beside one: over all that they would have had to choose among."""
    if way.mode is LearnedMode.APPLY:
        without = healthy_first(_ranked(field, choice, sticky, ranking(way.baseline)(capable, field, False)))
        affordable = {item.target for item in plan.candidates}
        baseline = next(item.target for item in without if item.target in affordable)
        return learning_of(plan, ranked, baseline, way, field)
    targets = {item.target for item in capable}
    others = () if choice.pinned else considered(choice, sticky, Strategy.LEARNED, field)
    more, _ = who_can(field, choice, [target for target in others if target not in targets])
    judged = ranking(Strategy.LEARNED)([*capable, *(field.candidate(*can) for can in more)], field, True)
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


def _nobody(plan: Plan, targets: Sequence[Target], config: Config, question: Question) -> Exception:
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
