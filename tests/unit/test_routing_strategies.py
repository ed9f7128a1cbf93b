"""Ranking by cost and by latency, a user's wishes, and sessions that stay with their provider."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from cortexd.config import Config
from cortexd.domain.messages import Strategy
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType
from cortexd.errors import Failure, NoProviderAvailable, ProviderError, ProviderNotConfigured
from cortexd.routing import Health, Observed, Plan, State, Wishes
from cortexd.routing.strategies import ranking
from tests.unit.routes import ALL, OFFICE, OWN, config, names, plan, prefers

ROOT = Path(__file__).resolve().parents[2]
COST, LATENCY = Wishes(strategy=Strategy.COST), Wishes(strategy=Strategy.LATENCY)
CHAT_WITH_KIMI = Wishes(prefers("kimi_k2"))
CLAUDE_ALONE = {"ANTHROPIC_API_KEY": "a"}


def broken(*providers: str) -> Health:
    health = Health()
    for provider in providers:
        health.failed(provider, ProviderError(Failure.AUTHENTICATION, ""))
    return health


def timed(observed: Observed | None = None, **latencies: float) -> Observed:
    observed = observed or Observed()
    for provider, latency_ms in latencies.items():
        observed.answered(provider, OWN[provider], latency_ms, 100)
    return observed


def reasons(made: Plan) -> list[str]:
    return [candidate.reason for candidate in made.candidates]


class TestCost:
    def test_the_cheapest_first(self) -> None:
        """Four vendors by the likely cost of the prompt and a quarter of max_tokens, with the figures as reasons."""
        made = plan(use=config(ALL), wishes=COST, max_tokens=1000)
        assert names(made) == ["deepseek", "kimi_k2", "qwen", "claude"]
        scores = [item.score for item in made.candidates]
        assert scores == sorted(scores, key=lambda score: score or 0)
        assert made.strategy is Strategy.COST
        # 2 bytes are no token; 250 tokens at 10 USD per million
        assert made.candidates[-1].score == pytest.approx(0.0025)
        assert reasons(made)[-1] == "likely $0.0025"
        assert made.reason.startswith("cheapest: likely $0.000")

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
        assert made.reason == "fallback from kimi_k2: it failed repeatedly and is avoided for now"

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
            "quickest of late: 400 ms on average",
            "900 ms on average",
            "not observed of late",
            "not observed of late",
        ]
        assert [item.score for item in made.candidates] == [400, 900, None, None]

    def test_nobody_observed(self) -> None:
        """Then it is the table's order, and no turn is spent on learning."""
        observed = Observed()
        assert {tuple(names(plan(wishes=LATENCY, observed=observed))) for _ in range(40)} == {("claude", "kimi_k2")}

    def test_one_in_twenty_tries_an_unobserved_one(self) -> None:
        """So that a provider that has become quick is found."""
        observed = timed(kimi_k2=900)
        led = [names(plan(wishes=LATENCY, observed=observed))[0] for _ in range(60)]
        assert [number for number, name in enumerate(led, 1) if name == "claude"] == [20, 40, 60]

    def test_a_turn_to_learn_says_so(self) -> None:
        """The reason is for Route and the metadata."""
        observed = timed(kimi_k2=900)
        made = [plan(wishes=LATENCY, observed=observed) for _ in range(20)][-1]
        assert made.reason == "not observed of late: asked to learn how quick it is"

    def test_nothing_is_learnt_from_an_open_breaker_or_instead_of_a_session(self) -> None:
        """Neither a broken provider nor a session pays for learning."""
        observed = timed(kimi_k2=900)
        health = broken("claude")
        assert {names(plan(wishes=LATENCY, health=health, observed=observed))[0] for _ in range(40)} == {"kimi_k2"}
        sticky = Wishes(strategy=Strategy.LATENCY, sticky=Target("kimi_k2"))
        observed = timed(kimi_k2=900)
        assert {names(plan(wishes=sticky, observed=observed))[0] for _ in range(40)} == {"kimi_k2"}

    def test_the_mean_follows_what_is_observed(self) -> None:
        """Twenty answers later the old ones count half."""
        observed = Observed()
        for _ in range(200):
            observed.answered("claude", OWN["claude"], 1000, 100)
        for _ in range(20):
            observed.answered("claude", OWN["claude"], 3000, 100)
        assert observed.latency_ms("claude", OWN["claude"]) == pytest.approx(2000, rel=0.01)

    def test_a_short_answer_tells_little(self) -> None:
        """One token, as a verification asks for, hardly moves the mean; alone it is all that is known."""
        observed = timed(claude=1000)
        observed.answered("claude", OWN["claude"], 10, 1)
        observed.answered("kimi_k2", OWN["kimi_k2"], 10, 0)
        mean = observed.latency_ms("claude", OWN["claude"])
        assert mean is not None
        assert 950 < mean < 1000
        assert observed.latency_ms("kimi_k2", OWN["kimi_k2"]) == pytest.approx(10)

    def test_an_hour_makes_unknown(self) -> None:
        """Without an answer within the hour nothing is known, and the next one starts afresh; so does a reload."""
        now = [0.0]
        observed = timed(Observed(clock=lambda: now[0]), claude=1000)
        now[0] = 3601
        assert observed.latency_ms("claude", OWN["claude"]) is None
        observed.answered("claude", OWN["claude"], 10, 100)
        assert observed.latency_ms("claude", OWN["claude"]) == pytest.approx(10)
        observed.forget()
        assert observed.latency_ms("claude", OWN["claude"]) is None


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
            "fallback from kimi_k2: it failed repeatedly and is avoided for now",
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
        assert made.reason == "fallback from kimi_k2: it failed repeatedly and is avoided for now"

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
            with pytest.raises(ProviderNotConfigured, match="no other provider is configured either"):
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
