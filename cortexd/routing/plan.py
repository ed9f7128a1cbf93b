"""The default strategy: the routing table's provider for the task, then every other that can answer, each once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from cortexd.catalog import Catalog, Model
from cortexd.config import Config, ProviderSettings, how_to_configure
from cortexd.errors import BudgetExceeded, InvalidArgument, NoProviderAvailable, ProviderNotConfigured, UnknownProvider
from cortexd.messages import DEFAULT_MAX_TOKENS, Message, Options, Privacy
from cortexd.money import format_usd
from cortexd.routing.health import Health, State
from cortexd.tasks import TaskType
from cortexd.validation import images_of, prompt_bytes

_BYTES_PER_TOKEN_AT_MOST = 8  # a prompt with more bytes than context x 8 cannot fit whatever the tokenizer
_TOKENS_PER_MESSAGE = 32  # role markers and the like, generously
_TOKENS_FOR_TOOLS = 2048  # vendors explain tool use to the model in a system prompt of their own
_BYTES_PER_TOKEN_USUALLY = 4


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be routed, as the caller put it."""

    task_type: TaskType
    messages: tuple[Message, ...]
    options: Options
    moment: datetime

    @property
    def max_tokens(self) -> int:
        return self.options.max_tokens or DEFAULT_MAX_TOKENS

    def size(self) -> PromptSize:
        schema = len((self.options.response_schema or "").encode())
        framing = len(self.messages) * _TOKENS_PER_MESSAGE
        if self.options.tools or schema:
            framing += _TOKENS_FOR_TOOLS
        return PromptSize(
            prompt_bytes(self.messages, self.options.tools) + schema, framing, len(images_of(self.messages))
        )


@dataclass(frozen=True, slots=True)
class PromptSize:
    """`text_bytes` of texts and tools, `framing_tokens` that vendors add around them, and the number of images."""

    text_bytes: int
    framing_tokens: int
    images: int

    def most_tokens(self, model: Model) -> int:
        """No tokenizer makes more tokens than bytes; an image counts the catalogue's figure."""
        return self.text_bytes + self.framing_tokens + self.images * model.image_tokens

    def likely_tokens(self, model: Model) -> int:
        return self.text_bytes // _BYTES_PER_TOKEN_USUALLY + self.images * model.image_tokens


@dataclass(frozen=True, slots=True)
class Candidate:
    """One provider and model to try. Costs in nano-dollars; `prompt_estimate_nano` (the likely cost of
    the prompt alone) is None where the price is unknown."""

    provider: str
    model: str
    reason: str
    worst_case_nano: int
    prompt_estimate_nano: int | None
    state: State


@dataclass(frozen=True, slots=True)
class LeftOut:
    provider: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Candidates in the order in which they will be tried, and who was left out and why."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def reason(self) -> str:
        return self.candidates[0].reason


def plan_route(question: Question, config: Config, catalog: Catalog, health: Health) -> Plan:
    """Rank the providers for `question`. Raises UnknownProvider, InvalidArgument, ProviderNotConfigured,
    BudgetExceeded or NoProviderAvailable where nobody can answer."""
    first, why, pinned = _first_choice(question, config, catalog)
    fallback = question.options.fallback
    if fallback is None:
        fallback = config.routing.fallback and not pinned
    order = [first, *_others(first, config)] if fallback else [first]
    size = question.size()
    candidates: list[Candidate] = []
    left_out: list[LeftOut] = []
    for name in order:
        settings = config.providers[name]
        model = question.options.model if name == first and question.options.model else settings.model
        obstacle = _obstacle(question, settings, model, catalog, size)
        if obstacle:
            left_out.append(LeftOut(name, model, obstacle))
            continue
        reason = why if name == first else f"fallback after {first}"
        candidates.append(_candidate(question, settings, model, reason, catalog, health, size))
    plan = _affordable(Plan(_healthy_first(candidates), tuple(left_out)), question.options.max_cost_nano)
    if not plan.candidates:
        raise _nobody(plan, order, config, question)
    return _explained(plan, first, config)


def _first_choice(question: Question, config: Config, catalog: Catalog) -> tuple[str, str, bool]:
    """The provider to try first, why, and whether the caller pinned it."""
    options = question.options
    if options.provider is not None:
        if options.provider not in config.providers:
            raise UnknownProvider(
                f"options.provider: unknown provider {options.provider!r}; one of {', '.join(config.providers)}"
            )
        return options.provider, f"provider {options.provider} was asked for", True
    if options.model is not None:
        return _provider_of(options.model, config, catalog), f"model {options.model} was asked for", True
    name = config.routing.table.get(question.task_type)
    if name is None:
        return config.routing.default_provider, f"{question.task_type} has no row; the default provider answers", False
    return name, f"{question.task_type} goes to {name}", False


def _provider_of(model: str, config: Config, catalog: Catalog) -> str:
    for name, settings in config.providers.items():
        if settings.model == model or catalog.knows(name, model):
            return name
    raise InvalidArgument(
        f"options.model: no provider is known to have {model!r}; name one with options.provider as well"
    )


def _others(first: str, config: Config) -> list[str]:
    """Every other provider, the default one first."""
    names = [config.routing.default_provider, *config.providers]
    return [name for name in dict.fromkeys(names) if name != first]


def _obstacle(question: Question, settings: ProviderSettings, model: str, catalog: Catalog, size: PromptSize) -> str:
    """Why this provider cannot answer; empty where it can."""
    entry = catalog.model(settings.name, model)
    checks: tuple[tuple[bool, Callable[[], str]], ...] = (
        (not settings.configured, lambda: how_to_configure(settings)),
        (question.options.privacy is Privacy.LOCAL and not settings.local, lambda: "is not local (privacy: local)"),
        (bool(size.images) and "images" not in entry.capabilities, lambda: f"{model} takes no images"),
        (bool(question.options.tools) and "tools" not in entry.capabilities, lambda: f"{model} takes no tools"),
        (
            entry.context_tokens is not None and size.text_bytes > entry.context_tokens * _BYTES_PER_TOKEN_AT_MOST,
            lambda: f"the prompt does not fit {model}'s context of {entry.context_tokens} tokens",
        ),
    )
    return next((words() for stands, words in checks if stands), "")


def _candidate(
    question: Question,
    settings: ProviderSettings,
    model: str,
    reason: str,
    catalog: Catalog,
    health: Health,
    size: PromptSize,
) -> Candidate:
    name, entry = settings.name, catalog.model(settings.name, model)
    likely = size.likely_tokens(entry)
    price = catalog.price(name, model, question.moment, likely)
    return Candidate(
        name,
        model,
        reason,
        catalog.worst_case(name, model, size.most_tokens(entry), question.moment, question.max_tokens),
        None if price is None else likely * price.input // 1_000_000,
        health.state(name),
    )


def _healthy_first(candidates: list[Candidate]) -> tuple[Candidate, ...]:
    return tuple(sorted(candidates, key=lambda candidate: candidate.state is State.OPEN))


def _affordable(plan: Plan, limit: int | None) -> Plan:
    """Leave out whoever could cost more than the caller's own limit."""
    if limit is None:
        return plan
    dear = [item for item in plan.candidates if item.worst_case_nano > limit]
    if dear and len(dear) == len(plan.candidates):
        least = min(item.worst_case_nano for item in dear)
        raise BudgetExceeded(
            f"options.max_cost_usd: this request could cost up to {format_usd(least)}, more than the limit of "
            f"{format_usd(limit)}; raise the limit or lower max_tokens"
        )
    words = f"could cost more than max_cost_usd ({format_usd(limit)})"
    return Plan(
        tuple(item for item in plan.candidates if item.worst_case_nano <= limit),
        plan.left_out + tuple(LeftOut(item.provider, item.model, words) for item in dear),
    )


def _nobody(plan: Plan, order: list[str], config: Config, question: Question) -> Exception:
    unconfigured = [name for name in order if not config.providers[name].configured]
    if len(unconfigured) == len(order):
        first = f"{order[0]}: {how_to_configure(config.providers[order[0]])}"
        alone = len(order) == 1
        return ProviderNotConfigured(first if alone else f"{first}; no other provider is configured either")
    words = "; ".join(f"{item.provider}: {item.reason}" for item in plan.left_out if item.provider not in unconfigured)
    return NoProviderAvailable(f"no provider can answer this {question.task_type} request: {words}")


def _explained(plan: Plan, first: str, config: Config) -> Plan:
    """Say why the first candidate is not the provider that the table or the caller named."""
    leader = plan.candidates[0]
    if leader.provider == first:
        return plan
    state = next((item.state for item in plan.candidates if item.provider == first), None)
    settings = config.providers[first]
    because = "its breaker is open after failures" if state else "it is not configured"
    if state is None and settings.configured:
        because = next(item.reason for item in plan.left_out if item.provider == first)
    reason = f"fallback from {first}: {because}"
    return replace(plan, candidates=(replace(leader, reason=reason), *plan.candidates[1:]))
