"""Outlines of earlier questions save time and change no plan."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cortexd.config import Config
from cortexd.config.settings import ANY_MODEL, ProviderSettings
from cortexd.domain.messages import Strategy
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType
from cortexd.errors import CortexError, Failure, ProviderError
from cortexd.routing import Allowed, Health, Outlines, Plan, Question, Wishes, plan_route
from tests.unit.routes import ALL, BOTH, IMAGE, OFFICE, OWN, catalog_of, config, prefers, question

SMALL = ProviderSettings("small", "openai", "http://127.0.0.1:1/v1", "kimi-k2.6", local=True)
UNSAID = ProviderSettings("unsaid", "openai", "http://127.0.0.1:1/v1", ANY_MODEL, local=True)
TOOL = [{"name": "look", "description": "", "parameters": "{}"}]
WISHES = (
    Wishes(),
    Wishes(prefers("kimi_k2", "office")),
    Wishes(excluded=frozenset((Target("claude"),))),
    Wishes(local_only=True),
    Wishes(allowed=Allowed((Target("kimi_k2"), Target("office")))),
    Wishes(sticky=Target("kimi_k2", OWN["kimi_k2"])),
    Wishes(strategy=Strategy.COST),
)
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"provider": "kimi_k2"},
    {"provider": "nobody"},
    {"model": OWN["claude"]},
    {"strategy": "quality"},
    {"fallback": False},
    {"privacy": "local"},
    {"tools": TOOL},
    {"max_cost_usd": 0.0001},
    {"learned": "apply"},
)
LONG = "many words " * 300_000  # more than some of them can take


def asked(chance: random.Random) -> Question:
    content = chance.choice(("hi", "hi", "hello there", IMAGE, LONG))
    return question(chance.choice(list(TaskType)), content, **chance.choice(OPTIONS))


def planned(asks: Question, use: Config, health: Health, wishes: Wishes, outlines: Outlines | None) -> Plan | str:
    try:
        return plan_route(asks, use, catalogs[id(use)], health, wishes=wishes, outlines=outlines)
    except CortexError as error:
        return f"{type(error).__name__}: {error}"


CONFIGS = (config(BOTH), config(ALL, office=OFFICE, small=SMALL), config({}, office=OFFICE, unsaid=UNSAID))
catalogs = {id(use): catalog_of(use) for use in CONFIGS}


@pytest.mark.parametrize("seed", range(8))
def test_plans_are_the_same_with_and_without(seed: int) -> None:
    """Whatever was asked before, by whom and under which settings."""
    chance, outlines, health = random.Random(seed), Outlines(), Health()
    use, found = CONFIGS[0], 0
    for _ in range(150):
        if chance.random() < 0.1:
            use = chance.choice(CONFIGS)
        if chance.random() < 0.05:
            health.failed(chance.choice(list(use.providers)), ProviderError(Failure.CONNECTION, "down"))
        asks, wishes = asked(chance), chance.choice(WISHES)
        made = planned(asks, use, health, wishes, outlines)
        found += isinstance(made, Plan)
        assert made == planned(asks, use, health, wishes, None)
    assert found > 30


def test_users_and_models_without_end_are_forgotten() -> None:
    """What callers can make up does not grow what is kept."""
    outlines, use = Outlines(), CONFIGS[0]
    for number in range(1500):
        asks = question(provider="claude", model=f"made-up-{number}")
        planned(asks, use, Health(), WISHES[0], outlines)
    assert len(outlines._known) <= 1024
