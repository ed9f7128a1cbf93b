"""What llm_router offers, and what importing it costs and leaves alone."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import pytest

import llm_router
from cortexd.catalog import builtin_catalog
from cortexd.config import builtin_config
from llm_router import LLMProvider, LLMResponse, LLMRouter, RoutingDecision, TaskType, complete_task
from tests.library.conftest import MakeRouter, ask

SDK_CLASSES = ("Anthropic", "AsyncAnthropic", "OpenAI", "AsyncOpenAI")
HEAVY = ("anthropic", "openai", "sqlalchemy", "httpx2", "aiohttp", "pydantic", "msgspec", "dbus_next")


def python(code: str) -> str:
    """What a fresh interpreter prints for `code`."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


class TestImport:
    def test_brings_no_sdk(self) -> None:
        """Importing the module imports neither SDK, nor any other large library."""
        code = f"import sys, llm_router; print([name for name in {HEAVY} if name in sys.modules])"
        assert python(code) == "[]"

    def test_a_router_brings_no_sdk(self) -> None:
        """A router, and its choice of a provider, need no SDK either."""
        code = (
            "import sys, llm_router as l; r = l.LLMRouter('key'); r.route_task('user_chat'); r.get_stats(); "
            "print([name for name in ('anthropic', 'openai', 'sqlalchemy', 'dbus_next') if name in sys.modules])"
        )
        assert python(code) == "[]"

    def test_leaves_logging_alone(self) -> None:
        """Neither the import nor a call changes a handler or a level."""
        code = (
            "import logging, llm_router; from unittest.mock import MagicMock\n"
            "def state():\n"
            "    loggers = [logging.getLogger(name) for name in ('', 'openai', 'anthropic', 'httpx2')]\n"
            "    return [(logger.level, logger.handlers, logger.propagate) for logger in loggers]\n"
            "before = state()\n"
            "router = llm_router.LLMRouter('key', openai_api_key='key', openai_model='m')\n"
            "router.claude_client, router.openai_client\n"
            "print(before == state())"
        )
        assert python(code) == "True"


class TestNames:
    def test_task_types(self) -> None:
        """The eight task types have their lower-case names as values."""
        names = ["USER_CHAT", "REQUIREMENT_PARSING", "SYSTEM_OPERATION", "ERROR_DEBUGGING", "CODE_GENERATION"]
        names += ["DEPENDENCY_RESOLUTION", "CONFIGURATION", "TOOL_EXECUTION"]
        assert [(task.name, task.value) for task in TaskType] == [(name, name.lower()) for name in names]

    def test_every_provider_that_is_built_in(self) -> None:
        """Every provider that the configuration or the catalogue knows has its name in LLMProvider."""
        names = {provider.value for provider in LLMProvider}
        assert set(builtin_config().providers) <= names
        assert all(builtin_catalog().models_of(name) for name in names - {"openai", "ollama"})
        assert (LLMProvider.CLAUDE, LLMProvider.KIMI_K2) == ("claude", "kimi_k2")

    @pytest.mark.parametrize("method", ["complete", "acomplete", "stream", "astream"])
    def test_arguments(self, method: str) -> None:
        """All four take the same arguments, with the specification's defaults; ours are named."""
        parameters = inspect.signature(getattr(LLMRouter, method)).parameters
        found = {name: parameter.default for name, parameter in parameters.items() if name != "self"}
        assert found == {
            "messages": inspect.Parameter.empty,
            "task_type": TaskType.USER_CHAT,
            "force_provider": None,
            "temperature": 0.7,
            "max_tokens": 4096,
            "tools": None,
            "strategy": None,
            "on_break": None,
            "hedge": None,
        }
        own = [parameter.kind is parameter.KEYWORD_ONLY for name, parameter in parameters.items() if name != "self"]
        assert own == [False] * 6 + [True] * 3

    def test_results_can_be_made_by_hand(self) -> None:
        """A response and a decision are plain values, for users' own tests."""
        response = LLMResponse("hi", LLMProvider.CLAUDE, "m", 3, 0.1, 0.2)
        assert (response.raw_response, response.tool_calls, response.dropped_options) == (None, [], ())
        assert RoutingDecision(LLMProvider.CLAUDE, TaskType.USER_CHAT, "why", 0.9).confidence == 0.9

    def test_unknown_names(self) -> None:
        """A name that the module lacks is an ordinary AttributeError."""
        with pytest.raises(AttributeError, match="has no attribute 'Anthropics'"):
            llm_router.Anthropics  # noqa: B018  # reading it is the test


class TestSdkClasses:
    @pytest.mark.parametrize("name", SDK_CLASSES)
    def test_are_the_sdks_own(self, name: str) -> None:
        """Each name is the SDK's class, however often it is asked for."""
        assert getattr(llm_router, name).__name__ == name
        assert getattr(llm_router, name) is getattr(llm_router, name)

    @pytest.mark.parametrize("name", SDK_CLASSES)
    def test_can_be_patched_and_come_back(self, name: str) -> None:
        """A patch holds inside its block and leaves the real class afterwards, twice in a row."""
        real = getattr(llm_router, name)
        for _ in range(2):
            with patch(f"llm_router.{name}") as fake:
                assert getattr(llm_router, name) is fake
            assert getattr(llm_router, name) is real

    @pytest.mark.parametrize(
        ("name", "attribute"),
        [
            ("Anthropic", "claude_client"),
            ("AsyncAnthropic", "claude_async_client"),
            ("OpenAI", "kimi_client"),
            ("AsyncOpenAI", "kimi_async_client"),
        ],
    )
    def test_are_looked_up_when_a_client_is_made(self, make: MakeRouter, name: str, attribute: str) -> None:
        """A router makes its clients of the class that the module has at that moment, with the router's settings."""
        router = make()
        with patch(f"llm_router.{name}") as fake:
            assert getattr(router, attribute) is fake.return_value
        said: Mapping[str, Any] = fake.call_args.kwargs
        assert (said["max_retries"], said["api_key"].startswith("sk-sim-")) == (0, True)
        assert said["base_url"].startswith("http://127.0.0.1:")


class TestCompleteTask:
    def test_uses_the_modules_router(self) -> None:
        """The convenience function makes the router that the module names, and gives the text alone."""
        with patch("llm_router.LLMRouter") as fake:
            fake.return_value.complete.return_value.content = "fine"
            assert complete_task("Hi", TaskType.CONFIGURATION, system_prompt="Be brief", max_tokens=5) == "fine"
        messages = [{"role": "system", "content": "Be brief"}, *ask("Hi")]
        fake.return_value.complete.assert_called_once_with(messages, task_type=TaskType.CONFIGURATION, max_tokens=5)
