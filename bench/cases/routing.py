"""What a decision of the strategy `learned` takes: ranking twelve candidates of the daemon's, beside `balanced`, which
weighs the same ones. No call is made.

Each request has a seed of its own; half of the decisions draw, as all candidates are close. Rounds in turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

from bench.figures import Case, Figure, Values
from bench.lab import Lab
from bench.samples import percentile
from cortexd.catalog import builtin_catalog
from cortexd.config import builtin_config
from cortexd.config.settings import ModelSettings, ProviderSettings, RateSettings
from cortexd.domain.messages import Message, Options, Role, Strategy
from cortexd.domain.tasks import TaskType
from cortexd.routing import Candidate, Health, Learner, Question
from cortexd.routing.candidates import Field
from cortexd.routing.strategies import ranking
from cortexd.routing.wishes import NONE

MODELS = 12
OUTCOMES = 40  # of each model
_TASK = TaskType.CODE_GENERATION
_OFFICE = "office"


@dataclass(slots=True)
class Ranked:
    """One strategy's rounds: microseconds of each decision, sorted."""

    rounds: list[Sequence[float]] = field(default_factory=list)

    def us(self, fraction: float) -> float:
        """The median of the rounds' percentiles, so that one disturbed round does not count."""
        return statistics.median(percentile(one, fraction) for one in self.rounds)


def run(lab: Lab) -> Values:
    rounds, times = (5, 500) if lab.quick else (15, 2000)
    made, candidates = stage()
    sides = {strategy: Ranked() for strategy in (Strategy.LEARNED, Strategy.BALANCED)}
    for number in range(1 + rounds):
        for strategy, side in sides.items():
            taken = decisions_us(strategy, made, candidates, times, Random(number))
            side.rounds += [taken] if number else []  # the first only warms up
    learned, balanced = sides[Strategy.LEARNED], sides[Strategy.BALANCED]
    return {
        "routing.learned.decision_us_p50": learned.us(0.5),
        "routing.learned.decision_us_p99": learned.us(0.99),
        "routing.balanced.decision_us_p50": balanced.us(0.5),
        "routing.balanced.decision_us_p99": balanced.us(0.99),
        "routing.learned.ratio": learned.us(0.5) / balanced.us(0.5),
    }


def stage() -> tuple[Field, list[Candidate]]:
    """Twelve priced models of one provider, each with outcomes of the task, as a planned request meets them."""
    models = {f"model-{number}": _model(number) for number in range(MODELS)}
    office = ProviderSettings(_OFFICE, "openai", "http://127.0.0.1:1/v1", "model-0", local=True, models=models)
    config = builtin_config()
    config = replace(config, providers={**config.providers, _OFFICE: office})
    catalog = builtin_catalog().with_settings(config.providers)
    asked = Question(_TASK, (Message(Role.USER, "word " * 100),), Options(), datetime(2026, 1, 1, tzinfo=UTC))
    made = Field.of(asked, config, catalog, Health(), NONE, forecasts=True)
    candidates = [made.candidate(_OFFICE, model, "") for model in models]
    learner, chance = Learner(seed=1), Random(1)
    for candidate in candidates * OUTCOMES:
        learner.cells.decided(_TASK)
        learner.cells.learn(_TASK, candidate.target, float(chance.random() < 0.6))
    learner.counts.count((item.target for item in candidates), explored=False)
    return replace(made, learner=learner), candidates


def _model(number: int) -> ModelSettings:
    return ModelSettings(quality={None: 0.5}, rate=RateSettings("1", str(1 + number)))


def decisions_us(
    strategy: Strategy, made: Field, candidates: list[Candidate], times: int, chance: Random
) -> Sequence[float]:
    """How long each of so many decisions took, sorted."""
    rank, taken = ranking(strategy), []
    for seed in (chance.getrandbits(32) for _ in range(times)):
        field_ = replace(made, seed=seed)
        began = time.thread_time_ns()
        rank(candidates, field_, True)
        taken.append((time.thread_time_ns() - began) / 1e3)
    return sorted(taken)


CASE = Case(
    name="routing",
    summary="a decision of the learned strategy among twelve models, beside `balanced`",
    figures=(
        Figure("routing.learned.decision_us_p50", "µs", f"ranking {MODELS} candidates by outcomes, median"),
        Figure("routing.learned.decision_us_p99", "µs", "its 99th percentile, the median of the rounds", at_most=100),
        Figure("routing.balanced.decision_us_p50", "µs", "the same candidates ranked by `balanced`, median"),
        Figure("routing.balanced.decision_us_p99", "µs", "its 99th percentile"),
        Figure("routing.learned.ratio", "×", "the median by outcomes over that by `balanced`"),
    ),
    run=run,
)
