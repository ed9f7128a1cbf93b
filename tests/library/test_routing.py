"""Who is asked: the table, forced providers, rules of one's own, and who counts as configured."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from llm_router import (
    InvalidRequestError,
    LLMProvider,
    LLMRouter,
    LLMRouterError,
    ProviderNotConfiguredError,
    TaskType,
)
from simulated import Behaviour, SimulatedProviders
from tests.library.conftest import MakeRouter, ask

CHAT = (TaskType.USER_CHAT, TaskType.REQUIREMENT_PARSING)


class TestTable:
    @pytest.mark.parametrize("task", TaskType)
    def test_each_task_type(self, router: LLMRouter, task: TaskType) -> None:
        """Chat and requirements go to Claude, everything else to Kimi K2."""
        decision = router.route_task(task)
        assert decision.provider is (LLMProvider.CLAUDE if task in CHAT else LLMProvider.KIMI_K2)
        assert (decision.task_type, decision.confidence) == (task, 0.95)
        assert decision.provider in decision.reasoning

    def test_forced(self, router: LLMRouter) -> None:
        """A forced provider is chosen with full confidence."""
        decision = router.route_task(TaskType.USER_CHAT, force_provider=LLMProvider.KIMI_K2)
        assert (decision.provider, decision.confidence) == (LLMProvider.KIMI_K2, 1.0)

    def test_names_do_for_the_enums(self, router: LLMRouter) -> None:
        """Task types and providers may be given by their names."""
        decision = router.route_task("system_operation", "claude")  # type: ignore[arg-type]
        assert decision.provider is LLMProvider.CLAUDE

    @pytest.mark.parametrize(
        ("task", "provider", "words"), [("user_chatt", None, "did you mean 'user_chat'"), ("user_chat", "gpt", "gpt")]
    )
    def test_unknown_names(self, router: LLMRouter, task: str, provider: str | None, words: str) -> None:
        """An unknown name is refused by name."""
        with pytest.raises(InvalidRequestError, match=words):
            router.route_task(task, provider)  # type: ignore[arg-type]


class TestOwnRules:
    def test_one_router_alone(self, make: MakeRouter) -> None:
        """A changed rule holds for its router and no other."""
        changed, other = make(), make()
        changed.ROUTING_RULES[TaskType.CODE_GENERATION] = LLMProvider.CLAUDE
        assert changed.complete(ask(), TaskType.CODE_GENERATION).provider is LLMProvider.CLAUDE
        assert other.complete(ask(), TaskType.CODE_GENERATION).provider is LLMProvider.KIMI_K2

    def test_the_class_shows_the_defaults(self) -> None:
        """The class has the built-in table, for reading."""
        assert LLMRouter.ROUTING_RULES[TaskType.USER_CHAT] is LLMProvider.CLAUDE
        with pytest.raises(TypeError):
            LLMRouter.ROUTING_RULES[TaskType.USER_CHAT] = LLMProvider.KIMI_K2

    def test_a_missing_rule(self, make: MakeRouter) -> None:
        """A task type without a rule goes to the default provider."""
        router = make(default_provider=LLMProvider.KIMI_K2)
        del router.ROUTING_RULES[TaskType.USER_CHAT]
        assert router.route_task(TaskType.USER_CHAT).provider is LLMProvider.KIMI_K2
        router.default_provider = LLMProvider.CLAUDE
        assert router.route_task(TaskType.USER_CHAT).provider is LLMProvider.CLAUDE


class TestConfigured:
    def test_keys_from_the_environment(self, make: MakeRouter, monkeypatch: pytest.MonkeyPatch) -> None:
        """ANTHROPIC_API_KEY and MOONSHOT_API_KEY are used where no argument says a key."""
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-sim-from-env")
        monkeypatch.setenv("MOONSHOT_API_KEY", "sk-sim-from-env")
        router = make(claude_api_key=None, kimi_api_key=None)
        assert router.complete(ask()).provider is LLMProvider.CLAUDE
        assert router.complete(ask(), TaskType.SYSTEM_OPERATION).provider is LLMProvider.KIMI_K2

    @pytest.mark.parametrize(
        ("arguments", "task", "text"),
        [
            ({}, TaskType.USER_CHAT, "Claude API not configured and no fallback available"),
            ({}, TaskType.SYSTEM_OPERATION, "Kimi K2 API not configured and no fallback available"),
            (
                {"kimi_api_key": "k", "enable_fallback": False},
                TaskType.USER_CHAT,
                "Claude API not configured and no fallback available",
            ),
            (
                {"claude_api_key": "k", "enable_fallback": False},
                TaskType.CONFIGURATION,
                "Kimi K2 API not configured and no fallback available",
            ),
        ],
    )
    def test_not_configured(self, arguments: dict[str, Any], task: TaskType, text: str) -> None:
        """Without a key and without anybody else the error names the provider, asked or only routed."""
        router = LLMRouter(**arguments)
        for call in (lambda: router.route_task(task), lambda: router.complete(ask(), task)):
            with pytest.raises(ProviderNotConfiguredError) as caught:
                call()
            assert str(caught.value) == text
            assert isinstance(caught.value, RuntimeError)

    def test_a_forced_provider_without_a_key(self, make: MakeRouter) -> None:
        """Forcing a provider that has no key does not lead to another."""
        router = make(kimi_api_key=None)
        with pytest.raises(ProviderNotConfiguredError, match=r"^Kimi K2 API not configured"):
            router.complete(ask(), force_provider=LLMProvider.KIMI_K2)

    def test_the_other_answers_for_it(self, make: MakeRouter) -> None:
        """A provider without a key is stood in for, and the decision says so."""
        router = make(kimi_api_key=None)
        decision = router.route_task(TaskType.SYSTEM_OPERATION)
        assert (decision.provider, decision.confidence) == (LLMProvider.CLAUDE, 0.5)
        assert decision.reasoning == "fallback from kimi_k2: it is not configured"
        assert router.complete(ask(), TaskType.SYSTEM_OPERATION).provider is LLMProvider.CLAUDE

    def test_no_client_without_a_key(self, make: MakeRouter) -> None:
        """The client of a provider without a key is None; the others' are there."""
        router = make(kimi_api_key=None)
        assert (router.kimi_client, router.kimi_async_client, router.qwen_client) == (None, None, None)
        assert router.claude_client is not None
        assert router.claude_client is router.claude_client

    def test_a_client_of_ones_own(self, make: MakeRouter) -> None:
        """A client that is assigned makes its provider a configured one, None the opposite, and `del` undoes it."""
        router = make(kimi_api_key=None)
        router.kimi_client = object()
        assert router.route_task(TaskType.CONFIGURATION).provider is LLMProvider.KIMI_K2
        router.kimi_client = None
        router.claude_client = router.claude_async_client = None
        with pytest.raises(ProviderNotConfiguredError):
            router.route_task(TaskType.CONFIGURATION)
        del router.claude_client
        assert router.complete(ask()).provider is LLMProvider.CLAUDE


class TestFurtherProviders:
    def test_another_vendor(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """DeepSeek answers once it has a key, at its own price."""
        router = make(deepseek_api_key="sk-sim-deep", deepseek_base_url=simulated.url("deepseek", "openai"))
        simulated.behave("deepseek", Behaviour(models=("deepseek-flash",)))
        response = router.complete(ask(), force_provider=LLMProvider.DEEPSEEK)
        assert (response.provider, response.model) == (LLMProvider.DEEPSEEK, "deepseek-flash")
        assert 0 < response.cost_usd < 0.001
        assert router.get_stats()["providers"]["deepseek"]["requests"] == 1

    def test_a_local_endpoint_is_asked_for(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """Ollama is there only where an argument names it; it needs no key and costs nothing."""
        with pytest.raises(ProviderNotConfiguredError, match=r"^Ollama API not configured"):
            make().complete(ask(), force_provider=LLMProvider.OLLAMA)
        simulated.behave("ollama", Behaviour(keys=("none",), models=("llama3.2",)))
        router = make(ollama_base_url=simulated.url("ollama", "openai"))
        response = router.complete(ask(), force_provider=LLMProvider.OLLAMA)
        assert (response.model, response.cost_usd) == ("llama3.2", 0)

    def test_a_local_endpoint_by_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """OLLAMA_MODEL, or OLLAMA_BASE_URL, asks for it as well."""
        monkeypatch.setenv("OLLAMA_MODEL", "kimi-k2")
        assert LLMRouter().route_task(TaskType.USER_CHAT).provider is LLMProvider.OLLAMA

    def test_openai_by_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """OPENAI_API_KEY makes OpenAI one who may answer, with a default model and the one that OPENAI_MODEL says."""
        monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
        assert LLMRouter().route_task(TaskType.USER_CHAT).provider is LLMProvider.OPENAI
        with patch("llm_router.OpenAI") as sdk:
            for model in ("gpt-4o-mini", "gpt-of-mine"):
                create = sdk.return_value.chat.completions.create
                create.return_value.choices[0].message.content = "Hi"
                assert LLMRouter().complete(ask()).content == "Hi"
                assert create.call_args.kwargs["model"] == model
                monkeypatch.setenv("OPENAI_MODEL", "gpt-of-mine")

    def test_an_unknown_setting(self) -> None:
        """A misspelt setting is a TypeError that names the nearest one."""
        with pytest.raises(TypeError, match=r"'kimi_k2_api_key'; did you mean 'kimi_api_key'"):
            LLMRouter(kimi_k2_api_key="x")

    @pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x/v1", "http://"])
    def test_an_address_that_is_none(self, url: str) -> None:
        """A base URL must be one."""
        with pytest.raises(InvalidRequestError, match="kimi_base_url"):
            LLMRouter(kimi_base_url=url)


class TestRequests:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"messages": []}, "messages"),
            ({"messages": "hello"}, "messages"),
            ({"messages": [{"role": "nobody", "content": "x"}]}, r"messages\[0\].role"),
            ({"messages": ask(), "max_tokens": 0}, "max_tokens"),
            ({"messages": ask(), "temperature": 3}, "temperature"),
            ({"messages": ask(), "tools": [{"type": "function"}]}, r"tools\[0\].name"),
        ],
    )
    def test_what_cannot_be_sent(self, router: LLMRouter, arguments: dict[str, Any], words: str) -> None:
        """A malformed request is refused before anybody is asked, and the error names the argument."""
        with pytest.raises(InvalidRequestError, match=words) as caught:
            router.complete(**arguments)
        assert isinstance(caught.value, LLMRouterError)
        assert isinstance(caught.value, ValueError)

    def test_any_iterable(self, router: LLMRouter) -> None:
        """Messages may come from any iterable."""
        assert router.complete(message for message in ask()).content
