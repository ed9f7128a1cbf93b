"""For tests of single rooms: the simulated providers, an open ledger, and the machine's time zone as a test
wants it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from cortexd.ledger import Ledger
from tests.simulated import running_fixture, simulated_fixture  # noqa: F401
from tests.unit.test_ledger_parts import settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of `ledger`."""
    return settings(tmp_path).path


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = await Ledger.open(settings(tmp_path))
    yield opened
    await opened.close()


@pytest.fixture
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()
