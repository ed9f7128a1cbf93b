"""Who is asked first, who next, and the words that say why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortexd.catalog.lookup import parse_catalog
from cortexd.config.settings import ProviderSettings, RateSettings, Secret
from cortexd.domain.tasks import TaskType
from cortexd.errors import (
    UNSUITED,
    BudgetExceeded,
    InvalidArgument,
    NoProviderAvailable,
    ProviderNotConfigured,
    UnknownProvider,
)
from cortexd.routing import Health, plan_route
from tests.unit.routes import BOTH, IMAGE, OFFICE, config, names, plan, question


class TestTable:
    @pytest.mark.parametrize("task", TaskType)
    def test_specification(self, task: TaskType) -> None:
        """Chat and requirements to claude, the rest to kimi_k2, the other one as fallback."""
        chat = task in (TaskType.USER_CHAT, TaskType.REQUIREMENT_PARSING)
        made = plan(task)
        assert names(made) == (["claude", "kimi_k2"] if chat else ["kimi_k2", "claude"])
        assert made.reason == f"{task} goes to {names(made)[0]}"

    def test_who_has_no_key_is_left_out(self) -> None:
        """Unconfigured providers are named, not tried."""
        left = {item.provider: item.reason for item in plan().left_out}
        assert left["deepseek"] == "no key"

    def test_the_reason_says_why_another_one_leads(self) -> None:
        """A missing key of the table's provider is no error while somebody can answer."""
        made = plan(TaskType.CODE_GENERATION, use=config({"ANTHROPIC_API_KEY": "a"}))
        assert made.reason == "fallback from kimi_k2: it is not configured"

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"privacy": "local"},
            {"content": IMAGE},
            {"strategy": "balanced", "max_cost_usd": 0.01},
            {"task": TaskType.CODE_GENERATION, "strategy": "cost"},
        ],
    )
    @pytest.mark.parametrize("environ", [BOTH, {"ANTHROPIC_API_KEY": "a"}, {}])
    def test_a_reason_is_a_sentence(self, environ: dict[str, str], options: dict[str, Any]) -> None:
        """Whatever it tells of, and of whomever: one that stands after a colon has none of its own."""
        made = plan(use=config(environ, office=OFFICE), **options)
        assert all(item.reason.count(": ") <= 1 for item in made.candidates)
        assert not any(": " in item.reason for item in made.left_out)

    def test_nobody_configured(self) -> None:
        """Without any key the error says what to set."""
        with pytest.raises(
            ProviderNotConfigured,
            match=r"claude: no key\. Run cortexctl credentials set claude, .*ANTHROPIC_API_KEY\. No other",
        ):
            plan(use=config({}))


class TestSize:
    def test_it_is_measured_once(self) -> None:
        """A question never changes; another one made of it is measured for itself."""
        asked = question(content="x" * 100)
        assert asked.size() is asked.size()
        longer = replace(asked, messages=asked.messages * 2)
        assert longer.size().text_bytes == 2 * asked.size().text_bytes >= 200
        assert replace(asked) == asked


class TestOptions:
    def test_forced_provider_alone(self) -> None:
        """Forced means forced: no fallback unless it is asked for."""
        assert names(plan(provider="kimi_k2")) == ["kimi_k2"]
        assert names(plan(provider="kimi_k2", fallback=True)) == ["kimi_k2", "claude"]

    def test_model_finds_its_provider(self) -> None:
        """A known model needs no provider beside it, and its fallback answers with its own model."""
        made = plan(model="kimi-k2.7-code", fallback=True)
        assert [(item.provider, item.model) for item in made.candidates] == [
            ("kimi_k2", "kimi-k2.7-code"),
            ("claude", "claude-sonnet-5-5"),
        ]

    def test_unknown_names(self) -> None:
        """Wrong names are the caller's to mend."""
        with pytest.raises(UnknownProvider, match="'kimi'; one of claude, kimi_k2"):
            plan(provider="kimi")
        with pytest.raises(UnknownProvider, match=r"the model goes into options.model"):
            plan(provider="claude/claude-haiku-5-5")
        with pytest.raises(InvalidArgument, match=r"options.model: no provider is known to have 'gpt-x'"):
            plan(model="gpt-x")
        with pytest.raises(ProviderNotConfigured, match="DEEPSEEK_API_KEY"):
            plan(provider="deepseek")

    def test_fallback_off(self) -> None:
        """One candidate, and an error if that one has no key."""
        assert names(plan(fallback=False)) == ["claude"]
        with pytest.raises(ProviderNotConfigured):
            plan(fallback=False, use=config({"MOONSHOT_API_KEY": "m"}))

    def test_local_only(self) -> None:
        """privacy = local never leaves the operator's own endpoints."""
        assert names(plan(privacy="local", use=config(office=OFFICE))) == ["office"]
        with pytest.raises(NoProviderAvailable, match=r"claude: is not local") as refused:
            plan(privacy="local")
        assert refused.value.details["cause"] == UNSUITED  # to ask again is in vain

    def test_images_need_a_model_that_takes_them(self) -> None:
        """kimi-k2.7-code takes none, so the fallback leads and says so."""
        made = plan(TaskType.CODE_GENERATION, IMAGE, model="kimi-k2.7-code", fallback=True)
        assert names(made) == ["claude"]
        assert made.reason == "fallback from kimi_k2: kimi-k2.7-code takes no images"

    def test_max_cost(self) -> None:
        """Whoever could cost more is left out; if that is everybody, the error says the least."""
        made = plan(max_tokens=1000, max_cost_usd=0.005)
        assert names(made) == ["kimi_k2"]
        with pytest.raises(BudgetExceeded, match=r"may cost \$0\.0\d+, more than max_cost_usd \(\$0\.0001"):
            plan(max_cost_usd=0.0001)

    def test_a_prompt_that_cannot_fit(self) -> None:
        """A prompt far beyond the context is not sent there."""
        made = plan(TaskType.CODE_GENERATION, "x" * (262_144 * 8 + 1))
        assert names(made) == ["claude"]


class TestLimits:
    """The longest answer to ask for, and what is reserved for it."""

    RATE = RateSettings("1", "1")

    @pytest.mark.parametrize(
        ("settings", "asked", "limit"),
        [
            ({"local": True}, None, None),
            ({"local": True}, 50, 50),
            ({"local": True, "max_tokens": 900}, None, 900),
            ({"local": True, "max_tokens": 900}, 5000, 5000),
            ({"local": True, "rate": RATE}, None, 4096),
            ({"local": True, "rate": RATE, "max_tokens": 900}, None, 900),
            ({"local": True, "rate": RateSettings("0", "0")}, None, None),
            ({"key": Secret("x")}, None, None),
        ],
        ids=str,
    )
    def test_nobody_is_given_a_limit_for_nothing(self, settings: dict[str, Any], asked: int | None, limit: int) -> None:
        """The caller's, the operator's, or where money rests on it the default; otherwise none."""
        office = ProviderSettings("office", "openai", "http://127.0.0.1:1/v1", "m", **settings)
        options: dict[str, Any] = {} if asked is None else {"max_tokens": asked}
        made = plan(use=config(office=office), provider="office", **options)
        [candidate] = [item for item in made.candidates if item.provider == "office"]
        assert candidate.max_tokens == limit

    def test_a_known_model_keeps_its_default(self) -> None:
        """Its reservation rests on it."""
        [claude, *_] = plan().candidates
        assert (claude.max_tokens, claude.worst_case_nano > 4096 * 10_000) == (4096, True)

    def test_what_costs_nothing_reserves_nothing(self) -> None:
        """Whatever the length of its answer."""
        [office] = plan(use=config(office=OFFICE), provider="office", max_tokens=1_000_000).candidates
        assert (office.worst_case_nano, office.max_tokens) == (0, 1_000_000)

    @pytest.mark.parametrize(("asked", "limit"), [(None, 1000), (500, 500), (9000, 1000)])
    def test_never_more_than_the_model_gives(self, asked: int | None, limit: int) -> None:
        """A longer answer than it can give is no other wish, and would be refused."""
        text = (
            '[[models]]\nprovider = "claude"\nid = "claude-sonnet-5-5"\noutput_tokens = 1000\n'
            '[[models.prices]]\neffective_from = 2026-01-01\ninput = "1"\noutput = "1"\n'
        )
        options: dict[str, Any] = {} if asked is None else {"max_tokens": asked}
        asks = question(**options)
        [first, *_] = plan_route(asks, config(), parse_catalog(text), Health()).candidates
        assert first.max_tokens == limit
