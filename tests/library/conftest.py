"""LLMRouter over real HTTP against the simulated providers, and nothing of the machine's own keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cortexd.config import defaults
from cortexd.library import settings as library_settings
from llm_router import LLMRouter
from simulated import SimulatedProviders
from tests.eventually import assert_eventually
from tests.simulated import running_fixture  # noqa: F401

KEYS = {"claude_api_key": "sk-sim-claude-0123456789", "kimi_api_key": "sk-sim-kimi-0123456789"}
NAMES = ("claude", "kimi_k2", "deepseek", "ollama")
VARIABLES = (
    *(settings.key_variable for settings in defaults.PROVIDERS if settings.key_variable),
    "OLLAMA_BASE_URL",
    "OLLAMA_MODEL",
    "OPENAI_API_KEY",
    "OPENAI_API_KEYS",
    "OPENAI_MODEL",
)
MakeRouter = Callable[..., LLMRouter]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has no key and asks for no local endpoint."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def assert_left_alone(running: SimulatedProviders, name: str) -> None:
    assert_eventually(lambda: running.counts(name).active == 0)


@pytest.fixture
def simulated(running: SimulatedProviders) -> SimulatedProviders:
    for name in NAMES:  # what the test before left on its way would be taken off this one's bill
        assert_left_alone(running, name)
        running.reset(name)
    return running


@pytest.fixture
def at_home(simulated: SimulatedProviders, monkeypatch: pytest.MonkeyPatch) -> SimulatedProviders:
    """The built-in addresses lead to the simulated providers, for programs that name none."""
    moved = (dataclasses.replace(item, base_url=simulated.url(item.name)) for item in defaults.PROVIDERS)
    monkeypatch.setattr(defaults, "PROVIDERS", tuple(moved))
    return simulated


@pytest.fixture
def openai_by_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI is asked over its Responses API."""
    moved = (
        dataclasses.replace(item, api="responses" if item.name == "openai" else item.api)
        for item in library_settings.FURTHER_PROVIDERS
    )
    monkeypatch.setattr(library_settings, "FURTHER_PROVIDERS", tuple(moved))


@pytest.fixture
def make(simulated: SimulatedProviders) -> Iterator[MakeRouter]:
    """Makes a router on the simulated providers, with keys for Claude and Kimi K2; closes it at the end."""
    made: list[LLMRouter] = []

    def build(**arguments: Any) -> LLMRouter:
        urls = {"claude_base_url": simulated.url("claude"), "kimi_base_url": simulated.url("kimi_k2")}
        made.append(LLMRouter(**{**KEYS, **urls, **arguments}))
        return made[-1]

    yield build
    for router in made:
        router.close()


@pytest.fixture
def router(make: MakeRouter) -> LLMRouter:
    return make()


def ask(text: str = "hello") -> list[dict[str, Any]]:
    """The messages of a short request."""
    return [{"role": "user", "content": text}]
