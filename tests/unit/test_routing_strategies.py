"""Ranking by cost and by latency, a user's wishes, and sessions that stay with their provider."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.config import Config
from cortexd.config.settings import AuthorizationSettings, ModelSettings, Weights
from cortexd.domain.answered import Answered
from cortexd.domain.messages import Strategy, Usage
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType
from cortexd.errors import Failure, NoProviderAvailable, ProviderError, ProviderNotConfigured
from cortexd.routing import Candidate, Forecast, Health, Observed, Plan, State, Wishes
from cortexd.routing.candidates import Field
from cortexd.routing.strategies import ranking
from tests.unit.routes import ALL, BOTH, OFFICE, OWN, catalog_of, config, names, plan, prefers, question

ROOT = Path(__file__).resolve().parents[2]
COST, LATENCY, BALANCED = (Wishes(strategy=item) for item in (Strategy.COST, Strategy.LATENCY, Strategy.BALANCED))
CHAT_WITH_KIMI = Wishes(prefers("kimi_k2"))
CLAUDE_ALONE = {"ANTHROPIC_API_KEY": "a"}


def broken(*providers: str) -> Health:
    health = Health()
    for provider in providers:
        health.failed(provider, ProviderError(Failure.AUTHENTICATION, ""))
    return health


def timed(observed: Observed | None = None, **latencies: int) -> Observed:
    observed = observed or Observed()
    for provider, latency_ms in latencies.items():
        observed.answered(answered(provider, latency_ms))
    return observed


def answered(
    provider: str,
    ms: int = 1000,
    *,
    first_ms: int | None = None,
    tokens: int = 300,
    prompt: int = 10,
    cached: int = 0,
    continued: bool = False,
    at: float | None = None,
) -> Answered:
    """To a chat, in one piece unless `first_ms` says when it began."""
    moment = time.time() if at is None else at
    usage = Usage(prompt, tokens, cached)
    first = ms if first_ms is None else first_ms
    return Answered(provider, OWN[provider], "user_chat", usage, ms, moment, first, None, continued)


def reasons(made: Plan) -> list[str]:
    return [candidate.reason for candidate in made.candidates]


class TestCost:
    def test_the_cheapest_first(self) -> None:
        """Four vendors by the likely cost of the prompt and an answer of usual length, with the figures as reasons."""
        made = plan(use=config(ALL), wishes=COST, max_tokens=1000)
        assert names(made) == ["deepseek", "kimi_k2", "qwen", "claude"]
        scores = [item.score for item in made.candidates]
        assert scores == sorted(scores, key=lambda score: score or 0)
        assert made.strategy is Strategy.COST
        # 2 bytes are a token at 2 USD per million; 300 tokens, as long as nothing is known, at 10
        assert made.candidates[-1].score == pytest.approx(0.003002)
        assert reasons(made)[-1] == "likely $0.0030"
        assert made.reason.startswith("cheapest: likely $0.000")

    def test_by_the_answers_that_were_seen(self) -> None:
        """Who talks ten times as long for a task is the dearer one there, and elsewhere as before."""
        observed = Observed()
        for _ in range(30):
            observed.answered(answered("kimi_k2", tokens=4000))
            observed.answered(answered("claude", tokens=300))
        made = plan(wishes=COST, observed=observed)
        assert names(made) == ["claude", "kimi_k2"]
        assert made.candidates[0].forecast.output_tokens == 440  # drawn to what both say
        assert names(plan(TaskType.CONFIGURATION, wishes=COST, observed=observed)) == ["kimi_k2", "claude"]

    def test_no_more_than_may_be_said(self) -> None:
        """A limit of the request's bounds the likely answer too."""
        assert plan(wishes=COST, max_tokens=20).candidates[0].forecast.output_tokens == 20

    def test_what_is_cached_costs_less(self) -> None:
        """Whose cache held most of such prompts is cheaper than its plain price; in a session only whoever answers."""
        observed, prompt = Observed(), "word " * 20_000
        for _ in range(30):
            observed.answered(answered("claude", tokens=10, prompt=25_000, cached=24_000))
        first, *_ = plan(content=prompt, wishes=COST, observed=observed, max_tokens=10).candidates
        assert (first.provider, first.forecast.cached_share) == ("claude", 0.96)
        in_session = Wishes(strategy=Strategy.COST, sticky=Target("kimi_k2"))
        made = plan(content=prompt, wishes=in_session, observed=observed, max_tokens=10)
        assert [(item.provider, item.forecast.cached_share) for item in made.candidates] == [
            ("kimi_k2", 0.0),
            ("claude", 0.0),
        ]

    def test_a_switch_loses_the_cache(self) -> None:
        """The session's model has the conversation at the price of its cache; for the others it is new."""
        observed = Observed()
        for _ in range(30):
            observed.answered(answered("claude", tokens=10, prompt=25_000, cached=24_000, continued=True))
            observed.answered(answered("kimi_k2", tokens=10, prompt=25_000, cached=24_000, continued=True))
        costs = {}
        for sticky in ("claude", "kimi_k2"):
            wishes = Wishes(strategy=Strategy.COST, sticky=Target(sticky))
            made = plan(content="word " * 20_000, wishes=wishes, observed=observed, max_tokens=10)
            costs[sticky] = {item.provider: item.score or 0 for item in made.candidates}
        assert costs["claude"]["claude"] < costs["claude"]["kimi_k2"]
        assert costs["kimi_k2"]["kimi_k2"] < costs["kimi_k2"]["claude"]
        assert costs["claude"]["claude"] < costs["kimi_k2"]["claude"] / 5

    def test_the_requests_strategy_stands_above_the_users(self) -> None:
        """Either way round; the table is what holds without any."""
        assert names(plan(wishes=COST)) == ["kimi_k2", "claude"]
        assert names(plan(wishes=COST, strategy="table")) == ["claude", "kimi_k2"]
        assert names(plan(strategy="cost")) == ["kimi_k2", "claude"]
        assert plan().strategy is Strategy.TABLE
        assert [item.score for item in plan().candidates] == [None, None]

    def test_an_unknown_price_comes_last(self) -> None:
        """Unknown is not free; a local endpoint without a rate is."""
        unpriced = dataclasses.replace(OFFICE, name="far", local=False, key=config().providers["claude"].key)
        made = plan(wishes=COST, use=config(far=unpriced, office=OFFICE))
        assert names(made) == ["office", "kimi_k2", "claude", "far"]
        assert reasons(made)[-1] == "its price is not known"
        assert [made.candidates[0].score, made.candidates[-1].score] == [0.0, None]

    def test_equals_stay_in_the_tables_order(self) -> None:
        """Two free endpoints: the preferred one, or the default one, first."""
        second = dataclasses.replace(OFFICE, name="attic")
        use = config({}, office=OFFICE, attic=second)
        assert names(plan(wishes=COST, use=use)) == ["office", "attic"]
        wishes = Wishes(prefers("attic"), Strategy.COST)
        assert names(plan(wishes=wishes, use=use)) == ["attic", "office"]

    def test_a_breaker_demotes_the_cheapest(self) -> None:
        """And the reason says so."""
        made = plan(wishes=COST, health=broken("kimi_k2"))
        assert names(made) == ["claude", "kimi_k2"]
        assert made.reason == "fallback from kimi_k2: it failed of late and is avoided for now"

    def test_without_fallback_the_cheapest_alone(self) -> None:
        """Whoever has no key does not count."""
        assert names(plan(wishes=COST, fallback=False)) == ["kimi_k2"]
        assert names(plan(wishes=COST, fallback=False, use=config(CLAUDE_ALONE))) == ["claude"]


class TestLatency:
    def test_the_quickest_of_late_first(self) -> None:
        """Whom nobody has observed comes after, in the table's order."""
        made = plan(wishes=LATENCY, use=config(ALL), observed=timed(kimi_k2=900, qwen=400))
        assert names(made) == ["qwen", "kimi_k2", "claude", "deepseek"]
        assert reasons(made) == [
            "quickest of late: likely 400 ms",
            "likely 900 ms",
            "not observed of late",
            "not observed of late",
        ]
        assert [item.score for item in made.candidates] == [400, 900, None, None]

    def test_for_this_size(self) -> None:
        """Who begins at once and goes on slowly is asked for a word, and whoever is quick once it runs for pages."""
        observed = Observed()
        for tokens in (10, 200) * 10:
            observed.answered(answered("claude", 100 + 20 * tokens, first_ms=100, tokens=tokens))
            observed.answered(answered("kimi_k2", 900 + 2 * tokens, first_ms=900, tokens=tokens))
        assert names(plan(wishes=LATENCY, observed=observed, max_tokens=5))[0] == "claude"
        assert names(plan(wishes=LATENCY, observed=observed))[0] == "kimi_k2"

    def test_nobody_observed(self) -> None:
        """Then it is the table's order, and no turn is spent on learning."""
        observed = Observed()
        assert {tuple(names(plan(wishes=LATENCY, observed=observed))) for _ in range(40)} == {("claude", "kimi_k2")}

    @pytest.mark.parametrize("strategy", [Strategy.LATENCY, Strategy.BALANCED])
    def test_one_in_twenty_tries_an_unobserved_one(self, strategy: Strategy) -> None:
        """So that a provider that has become quick is found."""
        observed = timed(kimi_k2=900)
        wishes = Wishes(strategy=strategy)
        led = [names(plan(wishes=wishes, observed=observed))[0] for _ in range(60)]
        assert [number for number, name in enumerate(led, 1) if name == "claude"] == [20, 40, 60]

    def test_a_turn_to_learn_says_so(self) -> None:
        """The reason is for Route and the metadata."""
        observed = timed(kimi_k2=900)
        made = [plan(wishes=LATENCY, observed=observed) for _ in range(20)][-1]
        assert made.reason == "not observed of late: asked to learn how quick it is"

    def test_whoever_has_not_answered_for_an_hour_is_tried_again(self) -> None:
        """What is known of it still says where it stands; in a week nothing is known."""
        now = [1_000.0]
        observed = Observed(clock=lambda: now[0])
        observed.answered(answered("claude", 5000, at=now[0]))
        now[0] += 3601
        observed.answered(answered("kimi_k2", 900, at=now[0]))
        led = [plan(wishes=LATENCY, observed=observed).candidates for _ in range(20)]
        assert [item[0].provider for item in led] == ["kimi_k2"] * 19 + ["claude"]
        assert led[0][1].score == 5000
        now[0] += 7 * 24 * 3600 + 1
        assert [item.score for item in plan(wishes=LATENCY, observed=observed).candidates] == [None, None]

    def test_nothing_is_learnt_from_an_open_breaker_or_instead_of_a_session(self) -> None:
        """Neither a broken provider nor one that fails nor a session pays for learning."""
        observed = timed(kimi_k2=900)
        failing = Health()
        failing.failed("claude", ProviderError(Failure.OVERLOADED, ""))
        for health in (broken("claude"), failing):
            assert {names(plan(wishes=LATENCY, health=health, observed=observed))[0] for _ in range(40)} == {"kimi_k2"}
        sticky = Wishes(strategy=Strategy.LATENCY, sticky=Target("kimi_k2"))
        assert {names(plan(wishes=sticky, observed=observed))[0] for _ in range(40)} == {"kimi_k2"}

    @pytest.mark.parametrize("strategy", Strategy)
    def test_a_dry_run_changes_nothing(self, strategy: Strategy) -> None:
        """However often somebody asks for the route, nothing is tried, and the twentieth request is the twentieth."""
        observed, wishes = timed(kimi_k2=900), Wishes(strategy=strategy)
        for _ in range(19):
            plan(wishes=LATENCY, observed=observed)
        dry = [plan(wishes=wishes, observed=observed, dry_run=True) for _ in range(40)]
        assert all(made == dry[0] for made in dry)
        assert dry[0].candidates[-1].forecast.output_tokens is not None
        assert plan(wishes=LATENCY, observed=observed).candidates[0].provider == "claude"

    def test_no_privileged_request_is_spent_on_learning(self) -> None:
        """Neither the task types that need a right of their own, nor what the operator adds to them."""
        observed = timed(kimi_k2=900)
        strict = AuthorizationSettings(frozenset({TaskType.USER_CHAT}))
        for task, use in (
            (TaskType.SYSTEM_OPERATION, config()),
            (TaskType.USER_CHAT, dataclasses.replace(config(), authorization=strict)),
        ):
            led = {names(plan(task, wishes=LATENCY, observed=observed, use=use))[0] for _ in range(40)}
            assert led == {"kimi_k2"}


GRADED = {
    "claude": ModelSettings(quality={None: 0.9}),
    "kimi_k2": ModelSettings(quality={None: 0.8}),
    "deepseek": ModelSettings(quality={None: 0.5}),
}


def graded(**weights: float) -> Config:
    """Three vendors with grades, and these weights."""
    base = config({**BOTH, "DEEPSEEK_API_KEY": "d"})
    providers = {
        name: dataclasses.replace(base.providers[name], models={OWN[name]: said}) for name, said in GRADED.items()
    }
    routing = dataclasses.replace(base.routing, weights=Weights(**weights))
    return dataclasses.replace(base, providers={**base.providers, **providers}, routing=routing)


class TestBalanced:
    def test_points_lost_to_the_best(self) -> None:
        """In quality, cost and time; the best in all loses nothing, and the reason has the three figures."""
        made = plan(wishes=BALANCED, use=graded(), observed=timed(claude=400, kimi_k2=1900, deepseek=900))
        by_name = {item.provider: item for item in made.candidates}
        # claude is the best and quickest, and likely costs $0.0030 beside $0.00018: log2(0.0031 / 0.00028)
        assert by_name["claude"].score == pytest.approx(3.47, abs=0.01)
        # four tenths of quality, and twice the time
        assert by_name["deepseek"].score == pytest.approx(4 + 1, abs=0.01)
        # one tenth, four times the time, log2(0.0013 / 0.00028)
        assert by_name["kimi_k2"].score == pytest.approx(1 + 2 + 2.22, abs=0.01)
        assert made.reason == "best balance: likely $0.0030, 400 ms, quality 0.9"

    @pytest.mark.parametrize(
        ("weights", "first"),
        [
            ({"latency": 0, "quality": 0}, "deepseek"),
            ({"cost": 0, "latency": 0}, "claude"),
            ({"cost": 0, "quality": 0}, "kimi_k2"),
            ({"cost": 0, "quality": 0, "latency": 0}, "claude"),
        ],
    )
    def test_one_weight_alone(self, weights: dict[str, float], first: str) -> None:
        """Is that strategy; no weight at all is the table's order."""
        made = plan(wishes=BALANCED, use=graded(**weights), observed=timed(claude=4000, kimi_k2=400, deepseek=900))
        assert names(made)[0] == first

    def test_what_is_not_known_counts_as_the_worst_that_is(self) -> None:
        """Nobody gains by being unknown; where nothing is known of anybody it does not count."""
        made = plan(wishes=BALANCED, use=config(ALL))
        assert names(made) == names(plan(wishes=COST, use=config(ALL)))
        assert made.candidates[-1].reason == "likely $0.0030, time not known, quality not known"
        late = plan(wishes=BALANCED, use=graded(cost=0, quality=0), observed=timed(claude=100, kimi_k2=4000))
        assert {item.provider: item.score for item in late.candidates} == {
            "claude": 0.0,
            "kimi_k2": 4.36,
            "deepseek": 4.36,
        }

    @given(st.lists(st.tuples(*[st.floats(0, 1), st.integers(0, 10**9), st.floats(1, 1e6)]), min_size=2, max_size=6))
    def test_nobody_better_in_all_is_passed_over(self, figures: list[tuple[float, int, float]]) -> None:
        """Whoever is at least as good in each respect stands no later: the first is on the Pareto front."""
        made = [
            Candidate(str(number), "m", "", 0, 0, State.OK, Forecast(quality=grade, cost_nano=nano, ms=ms))
            for number, (grade, nano, ms) in enumerate(figures)
        ]
        asked = Field.of(question(), config(), catalog_of(config()), Health(), BALANCED)
        first = ranking(Strategy.BALANCED)(made, asked, False)[0]
        assert not [item for item in made if item.provider != first.provider and _clearly_better(item, first)]


def _clearly_better(one: Candidate, other: Candidate) -> bool:
    mine, theirs = ((it.quality or 0, it.cost_nano or 0, it.ms or 0) for it in (one.forecast, other.forecast))
    no_worse = mine[0] >= theirs[0] and mine[1] <= theirs[1] and mine[2] <= theirs[2]
    return no_worse and (mine[0] > theirs[0] + 0.01 or mine[1] * 2 + 10**6 < theirs[1])


class TestWishes:
    def test_the_preferred_provider_comes_before_the_tables(self) -> None:
        """For its task type, and no other."""
        made = plan(wishes=CHAT_WITH_KIMI)
        assert (names(made), made.reason) == (["kimi_k2", "claude"], "you prefer kimi_k2 for user_chat")
        assert plan(TaskType.REQUIREMENT_PARSING, wishes=CHAT_WITH_KIMI).reason == "requirement_parsing goes to claude"

    def test_a_preference_that_cannot_be_met(self) -> None:
        """Not configured: the reason says so. No longer known after a reload: the table holds."""
        made = plan(wishes=CHAT_WITH_KIMI, use=config(CLAUDE_ALONE))
        assert made.reason == "fallback from kimi_k2: it is not configured"
        assert plan(wishes=Wishes(prefers("gone"))).reason == "user_chat goes to claude"

    def test_the_request_stands_above_the_preference(self) -> None:
        """A provider or model named in the options is asked."""
        wishes = Wishes(prefers("kimi_k2"), Strategy.COST, sticky=Target("kimi_k2"))
        made = plan(wishes=wishes, provider="claude", fallback=True)
        assert (names(made), made.reason) == (["claude", "kimi_k2"], "provider claude was asked for")
        assert made.pinned
        assert names(plan(wishes=wishes, model="claude-haiku-5-5")) == ["claude"]

    def test_local_only(self) -> None:
        """As privacy = local: nothing leaves for elsewhere, a named provider neither."""
        wishes = Wishes(local_only=True)
        assert names(plan(wishes=wishes, use=config(office=OFFICE))) == ["office"]
        with pytest.raises(NoProviderAvailable, match=r"claude: is not local \(you prefer local_only\)"):
            plan(wishes=wishes)
        with pytest.raises(NoProviderAvailable, match="is not local"):
            plan(wishes=wishes, provider="claude")


class TestSessions:
    @pytest.mark.parametrize("strategy", Strategy)
    def test_a_session_stays(self, strategy: Strategy) -> None:
        """With its provider, whatever the strategy and the preferences."""
        wishes = Wishes(prefers("claude"), strategy, sticky=Target("deepseek"))
        made = plan(wishes=wishes, use=config(ALL), observed=timed(claude=10))
        assert (names(made)[0], made.reason) == ("deepseek", "session stays with deepseek")
        assert sorted(names(made)) == ["claude", "deepseek", "kimi_k2", "qwen"]

    def test_without_fallback(self) -> None:
        """The session's provider alone; the table's alone while that one's breaker is open."""
        for sticky in ("kimi_k2", "claude"):
            assert names(plan(wishes=Wishes(sticky=Target(sticky)), fallback=False)) == [sticky]
        made = plan(wishes=Wishes(sticky=Target("kimi_k2")), fallback=False, health=broken("kimi_k2"))
        assert (names(made), made.reason) == (
            ["claude"],
            "fallback from kimi_k2: it failed of late and is avoided for now",
        )

    @pytest.mark.parametrize(
        ("use", "sticky"), [(config(CLAUDE_ALONE), "kimi_k2"), (config(), "gone"), (config(), "qwen")]
    )
    def test_a_provider_that_cannot_answer_is_left(self, use: Config, sticky: str) -> None:
        """No key any more, or no longer known: the table decides."""
        assert plan(wishes=Wishes(sticky=Target(sticky)), use=use).reason == "user_chat goes to claude"
        assert names(plan(wishes=Wishes(sticky=Target(sticky)), use=use, fallback=False)) == ["claude"]

    def test_a_breaker_ends_the_stay(self) -> None:
        """It is tried last, and the reason says so."""
        made = plan(wishes=Wishes(sticky=Target("kimi_k2")), health=broken("kimi_k2"))
        assert names(made) == ["claude", "kimi_k2"]
        assert made.reason == "fallback from kimi_k2: it failed of late and is avoided for now"

    def test_every_candidate_once(self) -> None:
        """Whatever stands together, nobody is tried twice and a broken one never first."""
        health, observed = broken("qwen"), timed(claude=500, deepseek=90)
        for strategy in Strategy:
            for sticky in (None, "claude", "qwen"):
                for preferred in ("kimi_k2", "qwen"):
                    wishes = Wishes(prefers(preferred), strategy, sticky=Target(sticky) if sticky else None)
                    made = plan(wishes=wishes, use=config(ALL), health=health, observed=observed)
                    assert sorted(names(made)) == ["claude", "deepseek", "kimi_k2", "qwen"]
                    assert made.candidates[-1].state is State.OPEN

    def test_nobody_configured(self) -> None:
        """The error is the same by every strategy."""
        for strategy in Strategy:
            with pytest.raises(ProviderNotConfigured, match="No other provider is configured either"):
                plan(wishes=Wishes(strategy=strategy, sticky=Target("claude")), use=config({}))


NEW_STRATEGY = """
def rank(candidates, field, may_explore):
    return sorted(candidates, key=lambda item: item.provider, reverse=True)
"""
ASK_FOR_IT = """
from tests.unit.routes import ALL, config, names, plan
print(*names(plan(use=config(ALL), strategy="backwards")))
"""


class TestAnotherStrategy:
    def test_every_row_has_its_file(self) -> None:
        """And every file its row: nothing else lists the strategies."""
        files = Path(import_module("cortexd.routing.strategies").__path__[0]).glob("[!_]*.py")
        assert {file.stem for file in files} == {item.value for item in Strategy}
        assert all(callable(ranking(item)) for item in Strategy)

    def test_is_one_file_and_one_row(self, tmp_path: Path) -> None:
        """In a copy of the package: options take it, the plan follows it."""
        for part in ("cortexd", "tests/unit"):
            shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "test_*"))
        (tmp_path / "cortexd/routing/strategies/backwards.py").write_text(NEW_STRATEGY)
        words = tmp_path / "cortexd/domain/messages.py"
        row = '    TABLE = "table"'
        assert words.read_text().count(row) == 1
        words.write_text(words.read_text().replace(row, f'{row}\n    BACKWARDS = "backwards"'))
        done = subprocess.run(
            [sys.executable, "-c", ASK_FOR_IT], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.stdout.split() == ["qwen", "kimi_k2", "deepseek", "claude"], done.stderr
