"""For tests of single rooms: the simulated providers, and the machine's time zone as a test wants it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.simulated import running_fixture, simulated_fixture  # noqa: F401


@pytest.fixture
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()
