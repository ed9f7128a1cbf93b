"""Candidates are models: what rows, preferences and strategies name beyond a provider, and what operators say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortexd.cli.shown.settings_as_toml import settings_as_toml
from cortexd.config import Config, load_config
from cortexd.config.settings import ModelSettings, RateSettings
from cortexd.domain.messages import Strategy
from cortexd.domain.targets import Target, parse_targets, written
from cortexd.domain.tasks import TaskType
from cortexd.errors import BudgetExceeded, ConfigError, Failure, InvalidArgument, ProviderError, UnknownProvider
from cortexd.routing import Health, Plan, Wishes, downgrade
from cortexd.validation import parse_preferences
from tests.unit.routes import BOTH, IMAGE, catalog_of, config, names, plan, prefers, question

Write = Callable[[str], Path]
CODE = TaskType.CODE_GENERATION


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str) -> Path:
        file = tmp_path / "config.toml"
        file.write_text(text)
        return file

    return put


def routed(table: dict[TaskType, str] | None = None, use: Config | None = None, **routing: Any) -> Config:
    """With rows as `parse_targets` reads them."""
    chosen = use or config()
    rows = {task: parse_targets(text) for task, text in (table or {}).items()}
    changed = dataclasses.replace(chosen.routing, table={**chosen.routing.table, **rows}, **routing)
    return dataclasses.replace(chosen, routing=changed)


def declared(provider: str, *, environ: dict[str, str] = BOTH, **models: ModelSettings) -> Config:
    base = config(environ)
    own = {name.replace("_", "-"): said for name, said in models.items()}
    settings = dataclasses.replace(base.providers[provider], models=own)
    return dataclasses.replace(base, providers={**base.providers, provider: settings})


def targets(made: Plan) -> list[str]:
    return [str(candidate.target) for candidate in made.candidates]


class TestTargets:
    @pytest.mark.parametrize(
        ("text", "read"),
        [
            ("claude", [("claude", None)]),
            ("kimi_k2/kimi-k2.7-code, claude", [("kimi_k2", "kimi-k2.7-code"), ("claude", None)]),
            ("llama/meta-llama/llama-4", [("llama", "meta-llama/llama-4")]),
            ("a,b,a", [("a", None), ("b", None)]),
        ],
    )
    def test_as_people_write_them(self, text: str, read: list[tuple[str, str | None]]) -> None:
        """The first slash parts provider and model; what is written is read the same again."""
        found = parse_targets(text)
        assert [(item.provider, item.model) for item in found] == read
        assert parse_targets(written(found)) == found

    @pytest.mark.parametrize("text", ["", "/m", "a/", "a b", "a,,b", "a\nb", "x" * 300, ",".join("abcdefghijklmnopq")])
    def test_what_is_none(self, text: str) -> None:
        """Halves, blanks, control characters, and more than sixteen."""
        with pytest.raises(ValueError, match=r".*"):
            parse_targets(text)


class TestRows:
    def test_a_row_names_a_model(self) -> None:
        """And the reason says it as the row does."""
        made = plan(CODE, use=routed({CODE: "kimi_k2/kimi-k2.7-code"}))
        assert targets(made) == ["kimi_k2/kimi-k2.7-code", "claude/claude-sonnet-5-5"]
        assert made.reason == "code_generation goes to kimi_k2/kimi-k2.7-code"
        assert made.candidates[1].reason == "fallback after kimi_k2/kimi-k2.7-code"

    def test_an_ordered_list(self) -> None:
        """In its order, several models of one provider too; then everybody else."""
        use = routed({CODE: "kimi_k2/kimi-k2.7-code, claude/claude-opus-5-5, kimi_k2"})
        assert targets(plan(CODE, use=use)) == [
            "kimi_k2/kimi-k2.7-code",
            "claude/claude-opus-5-5",
            "kimi_k2/kimi-k2.6",
        ]

    def test_without_fallback_the_first_that_can(self) -> None:
        """A list is an order of its own: who has no key or takes no images is passed over."""
        use = routed({CODE: "deepseek, kimi_k2/kimi-k2.7-code, claude"}, fallback=False)
        assert targets(plan(CODE, use=use)) == ["kimi_k2/kimi-k2.7-code"]
        assert targets(plan(CODE, IMAGE, use=use)) == ["claude/claude-sonnet-5-5"]

    def test_another_model_of_the_same_provider_leads(self) -> None:
        """The reason and `stands_in_for` name the model then, not the provider alone."""
        made = plan(CODE, IMAGE, use=routed({CODE: "kimi_k2/kimi-k2.7-code, kimi_k2"}))
        assert targets(made)[0] == "kimi_k2/kimi-k2.6"
        assert made.stands_in_for == "kimi_k2/kimi-k2.7-code"
        assert "takes no images" in made.reason

    def test_a_model_that_failed_comes_last(self) -> None:
        """Its own breaker, not the provider's."""
        health = Health()
        for _ in range(5):
            health.failed("kimi_k2", ProviderError(Failure.REFUSED, "", status=404), "kimi-k2.7-code")
        made = plan(CODE, use=routed({CODE: "kimi_k2/kimi-k2.7-code, kimi_k2"}), health=health)
        assert targets(made) == ["kimi_k2/kimi-k2.6", "claude/claude-sonnet-5-5", "kimi_k2/kimi-k2.7-code"]


class TestPreferences:
    def test_a_user_prefers_models(self) -> None:
        """As a row does; a provider that is gone is passed over."""
        made = plan(wishes=Wishes(prefers("gone", "claude/claude-haiku-5-5", "kimi_k2")))
        assert targets(made)[:2] == ["claude/claude-haiku-5-5", "kimi_k2/kimi-k2.6"]
        assert made.reason == "you prefer claude/claude-haiku-5-5 for user_chat"

    def test_are_checked(self) -> None:
        """A known provider in front of each; kept as they are read."""
        kept = parse_preferences({"providers": {"user_chat": "claude/claude-haiku-5-5,kimi_k2"}}, {"claude", "kimi_k2"})
        assert kept == {"providers": {"user_chat": "claude/claude-haiku-5-5, kimi_k2"}}
        with pytest.raises(UnknownProvider):
            parse_preferences({"providers": {"user_chat": "claude, kimi/x"}}, {"claude"})
        with pytest.raises(InvalidArgument):
            parse_preferences({"providers": {"user_chat": "claude/"}}, {"claude"})

    def test_a_session_stays_with_a_model(self) -> None:
        """With the one that answered, and with its provider's own where none is remembered."""
        made = plan(CODE, wishes=Wishes(sticky=Target("claude", "claude-opus-5-5")))
        assert targets(made)[0] == "claude/claude-opus-5-5"
        assert made.reason == "session stays with claude/claude-opus-5-5"
        assert targets(plan(CODE, wishes=Wishes(sticky=Target("claude"))))[0] == "claude/claude-sonnet-5-5"


class TestStrategies:
    def test_a_strategy_by_task_type(self) -> None:
        """The caller's stands above the user's, that above the task type's, that above the machine's."""
        use = routed(strategy=Strategy.LATENCY, strategies={CODE: Strategy.COST})
        assert plan(CODE, use=use).strategy is Strategy.COST
        assert plan(use=use).strategy is Strategy.LATENCY
        wishes = Wishes(strategy=Strategy.QUALITY)
        assert plan(CODE, use=use, wishes=wishes).strategy is Strategy.QUALITY
        assert plan(CODE, use=use, wishes=wishes, strategy="table").strategy is Strategy.TABLE

    def test_whom_a_user_prefers_the_machines_strategy_leaves(self) -> None:
        """Naming somebody for a task type is an order of one's own."""
        use = routed(strategy=Strategy.COST)
        assert plan(use=use, wishes=Wishes(prefers("claude"))).strategy is Strategy.TABLE
        assert plan(CODE, use=use, wishes=Wishes(prefers("claude"))).strategy is Strategy.COST

    def test_chooses_among_declared_models(self) -> None:
        """And not among all that the catalogue knows."""
        use = declared("claude", claude_haiku_5_5=ModelSettings())
        made = plan(use=use, strategy="cost")
        assert targets(made)[0] == "claude/claude-haiku-5-5"
        assert sorted(targets(made)) == ["claude/claude-haiku-5-5", "claude/claude-sonnet-5-5", "kimi_k2/kimi-k2.6"]
        assert "claude/claude-haiku-5-5" not in targets(plan(use=use))

    def test_quality_for_the_task(self) -> None:
        """By the task type's grade, or the general one; who has none comes last, the reason says which."""
        use = declared(
            "claude",
            claude_haiku_5_5=ModelSettings(quality={None: 0.6, CODE: 0.9}),
            claude_sonnet_5_5=ModelSettings(quality={None: 0.8}),
        )
        made = plan(CODE, use=use, strategy="quality")
        assert targets(made) == ["claude/claude-haiku-5-5", "claude/claude-sonnet-5-5", "kimi_k2/kimi-k2.6"]
        assert made.reason == "best for code_generation: quality 0.9"
        assert made.candidates[-1].reason == "its quality is not known"
        assert targets(plan(use=use, strategy="quality"))[0] == "claude/claude-sonnet-5-5"

    def test_the_session_leads_by_every_strategy(self) -> None:
        """A declared model too."""
        use = declared("claude", claude_haiku_5_5=ModelSettings())
        for strategy in Strategy:
            made = plan(use=use, strategy=strategy.value, wishes=Wishes(sticky=Target("kimi_k2")))
            assert names(made)[0] == "kimi_k2"
            assert len(set(targets(made))) == len(targets(made))


class TestWhatOperatorsSay:
    def test_of_a_model_of_their_own(self, write: Write) -> None:
        """Every setting of a model, beside and above the catalogue's."""
        file = write(
            "[providers.claude.models.claude-haiku-5-5]\nquality = { code_generation = 0.7 }\noutput_tokens = 1000\n"
            'source = "our own trial"\nas_of = 2026-11-01\n'
            '[providers.office]\napi = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nmodel = "m"\nlocal = true\n'
            '[providers.office.models."org/big"]\ncontext_tokens = 4096\ncapabilities = ["tools"]\nquality = 0.5\n'
            'rate = { input_usd_per_million = "1", output_usd_per_million = "2", cache_read_usd_per_million = "0.1" }\n'
        )
        use = load_config(file)
        haiku = catalog_of(use).model("claude", "claude-haiku-5-5")
        assert (haiku.output_tokens, haiku.context_tokens) == (1000, 1_000_000)
        assert haiku.quality_for(CODE) == 0.7
        assert haiku.quality_for(TaskType.USER_CHAT) is None
        big = catalog_of(use).model("office", "org/big")
        assert (big.context_tokens, big.capabilities, big.quality_for(CODE)) == (4096, frozenset({"tools"}), 0.5)
        assert use.providers["office"].models["org/big"].rate == RateSettings("1", "2", "0.1")

    def test_is_shown_as_it_was_said(self, write: Write) -> None:
        """What `cortexctl config show` prints of models, rows and strategies means the same again."""
        file = write(
            '[providers.claude.models.a]\nquality = { code_generation = 0.7 }\ncapabilities = ["tools"]\n'
            'source = "our \\"own\\""\nas_of = 2026-11-01\n'
            'rate = { input_usd_per_million = "1", output_usd_per_million = 2 }\n'
            '[providers.claude.models."b/c"]\nquality = 0.5\n[providers.claude.models.empty]\n'
            '[providers.mine]\npreset = "mistral"\nmodel = "m"\n[routing]\nstrategy = "balanced"\n'
            '[routing.strategies]\nuser_chat = "quality"\n[routing.weights]\nquality = 2.5\nlatency = 0\n'
            '[routing.table]\nuser_chat = ["mine/x/y", "claude"]\nconfiguration = "claude/b/c"\n'
        )
        read = load_config(file)
        again = load_config(write(settings_as_toml(read)))
        assert again == read

    def test_a_models_rate_stands_above_its_providers(self) -> None:
        """Cost and worst case alike; a model without one goes by the provider's."""
        use = declared("claude", claude_haiku_5_5=ModelSettings(rate=RateSettings("1", "1")))
        own = dataclasses.replace(use.providers["claude"], rate=RateSettings("500", "500"))
        use = dataclasses.replace(use, providers={**use.providers, "claude": own})
        assert targets(plan(use=use, provider="claude", model="claude-haiku-5-5", max_cost_usd=0.01))
        with pytest.raises(BudgetExceeded):
            plan(use=use, provider="claude", max_cost_usd=0.01)

    def test_a_model_is_found_by_its_name(self) -> None:
        """`options.model` alone leads to the provider that has declared it."""
        use = declared("kimi_k2", kimi_next=ModelSettings())
        assert targets(plan(use=use, model="kimi-next")) == ["kimi_k2/kimi-next"]

    def test_a_budget_falls_back_on_them(self) -> None:
        """What a budget still allows may be a declared model."""
        use = declared("kimi_k2", tiny=ModelSettings(rate=RateSettings("0.001", "0.001")))
        asked, catalog, health = question(CODE), catalog_of(use), Health()
        made = downgrade(plan(CODE, use=use), asked, use, catalog, health, 100_000)
        assert made is not None
        assert made.downgraded
        assert targets(made) == ["kimi_k2/tiny"]

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ("[routing.table]\nuser_chat = []", "routing.table.user_chat"),
            ("[routing.table]\nuser_chat = ['claude', 3]", "routing.table.user_chat"),
            ("[routing.table]\nuser_chat = 'claude/'", "routing.table.user_chat"),
            ("[routing.table]\nuser_chat = ['claude', 'nobody/m']", "routing.table.user_chat"),
            ("[routing.strategies]\nuser_chat = 'best'", "routing.strategies.user_chat"),
            ("[routing.strategies]\nchat = 'cost'", "routing.strategies.chat"),
            ("[routing]\nstrategy = 'best'", "routing.strategy"),
            ("[providers.claude]\nmodels = 3", "providers.claude.models"),
            ("[providers.claude.models]\n'a b' = {}", 'providers.claude.models."a b"'),
            ("[providers.claude.models.m]\ncontext = 3", 'providers.claude.models."m".context'),
            ("[providers.claude.models.m]\ncontext_tokens = 0", 'providers.claude.models."m".context_tokens'),
            ("[providers.claude.models.m]\ncapabilities = ['sight']", 'providers.claude.models."m".capabilities'),
            ("[providers.claude.models.m]\nquality = 2", 'providers.claude.models."m".quality'),
            ("[providers.claude.models.m]\nquality = { chat = 1 }", 'providers.claude.models."m".quality.chat'),
            ("[providers.claude.models.m]\nas_of = 2026-11-01T10:00:00", 'providers.claude.models."m".as_of'),
            (
                "[providers.claude.models.m]\nrate = { input_usd_per_million = '1' }",
                'providers.claude.models."m".rate',
            ),
        ],
    )
    def test_what_is_wrong_is_named(self, write: Write, text: str, key: str) -> None:
        """By its whole path."""
        with pytest.raises(ConfigError) as caught:
            load_config(write(text))
        assert [problem.key for problem in caught.value.problems] == [key]

    def test_later_files_change_what_they_name(self, write: Write, tmp_path: Path) -> None:
        """Key by key, of a model as of everything else."""
        (tmp_path / "conf.d").mkdir()
        (tmp_path / "conf.d/site.toml").write_text(
            "[providers.claude.models.m]\nquality = 0.1\n[routing.strategies]\nuser_chat = 'cost'\n"
        )
        use = load_config(
            write(
                "[providers.claude.models.m]\nquality = 0.5\ncontext_tokens = 9\n"
                "[routing.strategies]\ncode_generation = 'quality'\n"
            )
        )
        assert use.providers["claude"].models["m"] == ModelSettings(context_tokens=9, quality={None: 0.1})
        assert use.routing.strategies == {CODE: Strategy.QUALITY, TaskType.USER_CHAT: Strategy.COST}
