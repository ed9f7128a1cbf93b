"""The simulated providers in the tests' own process: started once, as new for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulated import SimulatedProviders


@pytest.fixture(scope="session", name="running")
def running_fixture() -> Iterator[SimulatedProviders]:
    with SimulatedProviders() as providers:
        yield providers


@pytest.fixture(name="simulated")
def simulated_fixture(running: SimulatedProviders) -> SimulatedProviders:
    for name in ("claude", "kimi_k2", "openai"):
        running.reset(name)
    return running
