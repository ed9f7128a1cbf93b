"""Who could answer a question, at what cost, and why somebody cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cortexd.catalog import Catalog
from cortexd.config import Config, ProviderSettings, what_is_missing
from cortexd.domain.messages import Privacy, Strategy
from cortexd.domain.money import worst_case_nano
from cortexd.routing.health import Health, State
from cortexd.routing.question import PromptSize, Question
from cortexd.routing.wishes import NONE, Wishes

_BYTES_PER_TOKEN_AT_MOST = 8  # a prompt with more bytes than context x 8 cannot fit whatever the tokenizer
_LIKELY_PART_OF_MAX_TOKENS = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """One provider and model to try. Costs in nano-dollars; `prompt_estimate_nano` (the likely cost of the prompt
    alone) and `likely_nano` (with an answer of a quarter of max_tokens) are None where the price is unknown.
    `score` is what the strategy ranked by: USD or milliseconds, None where it is unknown or nothing was scored."""

    provider: str
    model: str
    reason: str
    worst_case_nano: int
    prompt_estimate_nano: int | None
    state: State
    likely_nano: int | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    provider: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Candidates in the order in which they will be tried, and who was left out and why.

    `pinned`: the caller named provider or model. `stands_in_for`: the provider that caller, table, session or strategy
    put first, where another one leads in its place.
    """

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    strategy: Strategy = Strategy.TABLE
    wishes: Wishes = NONE
    pinned: bool = False
    stands_in_for: str | None = None

    @property
    def reason(self) -> str:
        return self.candidates[0].reason


@dataclass(frozen=True, slots=True)
class Field:
    """All that candidates for one question are judged by."""

    question: Question
    config: Config
    catalog: Catalog
    health: Health
    wishes: Wishes
    size: PromptSize

    @classmethod
    def of(cls, question: Question, config: Config, catalog: Catalog, health: Health, wishes: Wishes) -> Field:
        return cls(question, config, catalog, health, wishes, question.size())

    def obstacle(self, settings: ProviderSettings, model: str) -> str:
        """Why this provider cannot answer with that model; empty where it can."""
        entry = self.catalog.model(settings.name, model)
        options, size = self.question.options, self.size
        checks: tuple[tuple[bool, Callable[[], str]], ...] = (
            (not settings.configured, lambda: what_is_missing(settings)),
            (options.privacy is Privacy.LOCAL and not settings.local, lambda: "is not local (privacy: local)"),
            (self.wishes.local_only and not settings.local, lambda: "is not local (you prefer local_only)"),
            (bool(size.images) and "images" not in entry.capabilities, lambda: f"{model} takes no images"),
            (bool(options.tools) and "tools" not in entry.capabilities, lambda: f"{model} takes no tools"),
            (
                entry.context_tokens is not None and size.text_bytes > entry.context_tokens * _BYTES_PER_TOKEN_AT_MOST,
                lambda: f"the prompt does not fit {model}'s context of {entry.context_tokens} tokens",
            ),
        )
        return next((words() for stands, words in checks if stands), "")

    def candidate(self, provider: str, model: str, reason: str) -> Candidate:
        """That provider and model with its costs and state, whatever stands in its way."""
        entry, moment = self.catalog.model(provider, model), self.question.moment
        most, tokens = self.question.max_tokens, self.size.likely_tokens(entry)
        price = self.catalog.price(provider, model, moment, tokens)
        prompt = likely = None
        if price is not None:
            prompt = tokens * price.input // 1_000_000
            likely = prompt + worst_case_nano(0, most // _LIKELY_PART_OF_MAX_TOKENS, price)
        worst = self.catalog.worst_case(provider, model, self.size.most_tokens(entry), moment, most)
        return Candidate(provider, model, reason, worst, prompt, self.health.state(provider), likely)


def healthy_first(candidates: list[Candidate]) -> tuple[Candidate, ...]:
    """The same order, but whose breaker is open comes last."""
    return tuple(sorted(candidates, key=lambda candidate: candidate.state is State.OPEN))
