"""For tests of single rooms: the simulated providers, an open ledger, and the machine's time zone as a test
wants it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from cortexd.ledger import Ledger
from tests.postgresql import Cluster, postgresql_fixture  # noqa: F401
from tests.simulated import running_fixture, simulated_fixture  # noqa: F401
from tests.unit import test_ledger_parts
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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        alone = any(metafunc.definition.iter_markers("of_a_file"))
        shared = [] if alone else [pytest.param("postgresql", marks=[pytest.mark.slow, pytest.mark.postgresql])]
        metafunc.parametrize("engine", ["sqlite", *shared], indirect=True)


@pytest.fixture
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where `settings` puts the ledgers of a test, which then says the same of both kinds of database."""
    if request.param == "postgresql":
        running: Cluster = request.getfixturevalue("postgresql")
        monkeypatch.setattr(test_ledger_parts, "database_of", cache(lambda path: running.ledger()))
    return str(request.param)


@pytest.fixture
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()
