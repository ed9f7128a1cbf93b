"""Who could answer a question, at what cost, and why somebody cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from cortexd.catalog import Catalog, Model
from cortexd.config import Config, ProviderSettings, what_is_missing
from cortexd.config.settings import ANY_MODEL
from cortexd.domain.decided import Decided
from cortexd.domain.messages import DEFAULT_MAX_TOKENS, LearnedMode, Privacy, Strategy
from cortexd.domain.money import Price, format_usd
from cortexd.domain.targets import Target, shared
from cortexd.domain.value import value
from cortexd.providers.kinds import api_kind
from cortexd.routing.forecast import UNKNOWN, Forecast, Switch, forecast, likely_prompt, switched
from cortexd.routing.health import Health, State
from cortexd.routing.learned import PINNED, Learner, Standing
from cortexd.routing.observed import Observed
from cortexd.routing.question import PromptSize, Question
from cortexd.routing.wishes import NONE, Wishes

BYTES_PER_TOKEN_AT_MOST = 8  # a prompt with more bytes than context x 8 cannot fit whatever the tokenizer


class Room(Protocol):
    """Who knows how busy providers are."""

    def full(self, provider: str, model: str, *, local_only: bool) -> str:
        """Why a call would have to wait for a place there, in words; "" where it would not."""
        ...


@value
class Candidate:
    """One provider and model to try. Costs in nano-dollars; `prompt_estimate_nano` (the likely cost of the prompt
    alone, nothing of it cached) is None where the price is unknown. `forecast` is UNKNOWN where nobody needed one.
    `score` is what the strategy ranked by, None where it is unknown or nothing was scored.
    `max_tokens`: the longest answer to ask for, None where nobody set a limit; `context_tokens`: None where unknown.
    `full`: why it has no place at once, "" where it has. `last_failure`: why the provider is not ok, "loading" while it
    starts. `standing`: where the strategy goes by outcomes."""

    provider: str
    model: str
    reason: str
    worst_case_nano: int
    prompt_estimate_nano: int | None
    state: State
    forecast: Forecast = UNKNOWN
    score: float | None = None
    max_tokens: int | None = None
    context_tokens: int | None = None
    full: str = ""
    last_failure: str = ""
    standing: Standing | None = None

    @property
    def target(self) -> Target:
        return shared(self.provider, self.model)

    @property
    def likely_cost(self) -> tuple[bool, int]:
        """To sort by: an unknown price is the highest."""
        return self.forecast.cost_nano is None, self.forecast.cost_nano or 0

    def stood(self, reason: str, score: float, standing: Standing) -> Candidate:
        """The same, ranked by outcomes: as dataclasses.replace, in a third of its time."""
        return Candidate(
            self.provider,
            self.model,
            reason,
            self.worst_case_nano,
            self.prompt_estimate_nano,
            self.state,
            self.forecast,
            score,
            self.max_tokens,
            self.context_tokens,
            self.full,
            self.last_failure,
            standing,
        )


@value
class LeftOut:
    provider: str
    model: str
    reason: str


@value
class Learning:
    """What outcomes decided, or would have: `decided`, and each one that was judged, with its standing. `looks_left`:
    how many requests may still be used to learn."""

    decided: Decided
    judged: tuple[Candidate, ...]
    looks_left: int = 0

    @property
    def watching(self) -> bool:
        return self.decided.mode is LearnedMode.OBSERVE

    @property
    def standings(self) -> tuple[Standing, ...]:
        """Of all; none where the caller named a model, so that nothing was decided."""
        known = () if self.decided.why == PINNED else self.judged
        return tuple(item.standing for item in known if item.standing is not None)

    def unexplored(self, why: str) -> Learning:
        """As if the learner had stayed with the best."""
        decided = replace(self.decided, chosen=self.decided.greedy, why=why)
        stood = [(item, item.standing) for item in self.judged if item.standing is not None]
        judged = (replace(item, standing=one._replace(chosen=one.greedy, why=why)) for item, one in stood)
        return replace(self, decided=decided, judged=tuple(judged))

    @property
    def explores_nano(self) -> int | None:
        """The most that the one costs who is asked to learn of him, in nano-dollars; None where nobody is."""
        explored = (item for item in self.judged if item.standing is not None and item.standing.explored)
        return next((item.worst_case_nano for item in explored), None)


@value
class Plan:
    """Candidates in the order in which they will be tried, and who was left out and why.

    `pinned`: the caller named provider or model. `downgraded`: it is what a budget still allows. `insists`: the
    caller wants a fallback by all means. `stands_in_for`: whom
    caller, table, session or strategy put first, where another one leads in its place. `learning`: None where the mode
    of learning is off.
    """

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    strategy: Strategy = Strategy.TABLE
    wishes: Wishes = NONE
    pinned: bool = False
    downgraded: bool = False
    insists: bool = False
    stands_in_for: str | None = None
    learning: Learning | None = None

    @property
    def reason(self) -> str:
        return self.candidates[0].reason

    @property
    def overflows(self) -> bool:
        """Whether somebody stands in for whom all places of are taken at the moment."""
        named = (self.stands_in_for,) if self.stands_in_for else ()
        return any(item.full and (item.provider in named or str(item.target) in named) for item in self.candidates)


@value
class Field:
    """All that candidates for one question are judged by. `forecasts`: each comes with a forecast, which takes time.
    `seed`: the request's, of what is left to chance.

    For the strategy that goes by outcomes: `barred`, a word for why it may not explore; `leader`, who is asked first
    whatever it says; `incumbent`, with whom the conversation has been; `watching`: nobody will act on it."""

    question: Question
    config: Config
    catalog: Catalog
    health: Health
    wishes: Wishes
    size: PromptSize
    observed: Observed
    room: Room | None = None
    forecasts: bool = False
    learner: Learner | None = None
    seed: int = 0
    barred: str = ""
    leader: Target | None = None
    incumbent: Target | None = None
    watching: bool = False

    @classmethod
    def of(
        cls,
        question: Question,
        config: Config,
        catalog: Catalog,
        health: Health,
        wishes: Wishes,
        observed: Observed | None = None,
        room: Room | None = None,
        *,
        forecasts: bool = False,
    ) -> Field:
        observed = observed or Observed()
        return cls(question, config, catalog, health, wishes, question.size(), observed, room, forecasts)

    def learning(
        self, learner: Learner | None, seed: int, mode: LearnedMode, barred: str, leader: Target | None,
        incumbent: Target | None,
    ) -> Field:  # fmt: skip
        """The same for a question of which outcomes decide, or are watched."""
        watching = mode is LearnedMode.OBSERVE
        return replace(
            self,
            learner=learner or Learner(),
            seed=seed,
            barred=barred,
            leader=leader,
            incumbent=incumbent,
            watching=watching,
        )

    def obstacle(self, settings: ProviderSettings, model: str) -> str:
        """Why this provider cannot answer with that model; empty where it can."""
        entry = self.catalog.model(settings.name, model)
        options, size, pinned = self.question.options, self.size, self.question.guard.pinned
        barred = self.wishes.obstacle(self.question.task_type, Target(settings.name, model))
        checks: tuple[tuple[bool, Callable[[], str]], ...] = (
            (not settings.configured, lambda: what_is_missing(settings)),
            (model == ANY_MODEL, lambda: _unsaid(self.health.last_failure(settings.name))),
            (not model, lambda: "has no models"),
            (options.privacy is Privacy.LOCAL and not settings.has_local, lambda: "is not local (privacy = local)"),
            (bool(pinned) and not settings.has_local, lambda: f"is not local ({pinned})"),
            (bool(barred), lambda: barred),
            (self.wishes.local_only and not settings.has_local, lambda: "is not local (you prefer local_only)"),
            (bool(size.images) and "images" not in entry.capabilities, lambda: f"{model} takes no images"),
            (self.question.offers_tools and "tools" not in entry.capabilities, lambda: f"{model} takes no tools"),
            (
                entry.context_tokens is not None and size.text_bytes > entry.context_tokens * BYTES_PER_TOKEN_AT_MOST,
                lambda: f"the prompt does not fit {model}'s context of {entry.context_tokens} tokens",
            ),
            (bool(untold := self.question.untold(settings)), lambda: untold),
        )
        return next((words() for stands, words in checks if stands), "")

    def candidate(self, provider: str, model: str, reason: str) -> Candidate:
        """That provider and model with its costs and state, whatever stands in its way."""
        entry, moment = self.catalog.model(provider, model), self.question.moment
        tokens = likely_prompt(self.observed, self.size, entry) if self.forecasts else self.size.usual_tokens(entry)
        price = self.catalog.price(provider, model, moment, tokens)
        limit = self._max_tokens(provider, entry, price)
        most = limit or DEFAULT_MAX_TOKENS
        prompt = None if price is None else tokens * price.input // 1_000_000
        most_asked, for_an_hour = self.size.most_tokens(entry), self.question.for_an_hour
        worst = self.catalog.worst_case(provider, model, most_asked, moment, most, for_an_hour=for_an_hour)
        state = self.health.state(provider, model)
        local_only = self.question.local_only or self.wishes.local_only
        likely = self._forecast(Target(provider, model), most) if self.forecasts else UNKNOWN
        return Candidate(
            provider,
            model,
            reason,
            worst,
            prompt,
            state,
            likely,
            max_tokens=limit,
            context_tokens=entry.context_tokens,
            full=self.room.full(provider, model, local_only=local_only) if self.room else "",
            last_failure=self.health.last_failure(provider),
        )

    @property
    def taught(self) -> Learner:
        """Who decides by outcomes; one that knows none where nobody was given."""
        return self.learner or Learner()

    def switched(self, candidate: Candidate) -> tuple[Candidate, Switch]:
        """The candidate as it is in a conversation with the incumbent, and what it would lose by the switch."""
        assert self.incumbent is not None
        known, target = candidate.forecast, candidate.target
        known, lost = switched(self.question, self.catalog, self.observed, self.incumbent, target, known)
        return replace(candidate, forecast=known), lost

    def again(self, candidate: Candidate, reason: str) -> Candidate | LeftOut:
        """A candidate of a plan for this question, which is another one than it was planned for."""
        provider, model = candidate.provider, candidate.model
        if obstacle := self.obstacle(self.config.providers[provider], model):
            return LeftOut(provider, model, obstacle)
        made, most = self.candidate(provider, model, reason), self.question.options.max_cost_nano
        if most is not None and made.worst_case_nano > most:
            return LeftOut(provider, model, f"could cost more than max_cost_usd ({format_usd(most)})")
        return made

    def _forecast(self, target: Target, most_tokens: int) -> Forecast:
        sticky = who_answers(self.wishes, self.config)
        return forecast(self.question, self.size, self.catalog, self.observed, sticky, target, most_tokens)

    def _max_tokens(self, provider: str, entry: Model, price: Price | None) -> int | None:
        """The caller's limit, the operator's, or the default that a priced model's reservation rests on; never more
        than the model gives, or its context has room for, nor less than its API takes. None where the answer costs
        nothing, or nobody knows what: the server has a limit of its own."""
        raw, settings = self.question.raw, self.config.providers.get(provider)
        if raw is not None and (price is None or price.input or price.output):  # its body says what the vendor obeys
            return raw.most_tokens(entry.output_tokens)
        wanted = self.question.options.max_tokens or (settings.max_tokens if settings else None)
        if wanted is None and price is not None and (price.input or price.output):
            wanted = DEFAULT_MAX_TOKENS
        if wanted is None:
            return None
        least = api_kind(settings.api).least_tokens if settings else 1
        if entry.output_tokens is not None:
            wanted = min(wanted, entry.output_tokens)
        if entry.context_tokens is not None:
            wanted = min(wanted, max(1, entry.context_tokens - self.size.usual_tokens(entry)))
        return max(least, wanted)


def _unsaid(last_failure: str) -> str:
    return "has not said yet which models it has" + (f" ({last_failure})" if last_failure else "")


def who_answers(wishes: Wishes, config: Config) -> Target | None:
    """Who answers in the session so far, with the model; None without one, or where the provider is gone."""
    sticky = wishes.sticky
    settings = config.providers.get(sticky.provider) if sticky else None
    return None if sticky is None or settings is None else Target(sticky.provider, sticky.model or settings.model)


def healthy_first(candidates: list[Candidate]) -> tuple[Candidate, ...]:
    """The same order, but who has no place comes after those who have, and whose breaker is open last."""
    return tuple(sorted(candidates, key=lambda candidate: (candidate.state is State.OPEN, bool(candidate.full))))
