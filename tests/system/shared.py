"""One daemon for all tests of a module, for what leaves it as it found it: providers recover between the tests.

`shared`  a Shared: the daemon, its ledger, the simulated providers (reset) and the daemon's view of them (healthy).
          A module sets `CONFIG` (TOML) and `ENVIRONMENT` where it wants other ones than everybody has, and `WARM`
          where a daemon that has just answered its first requests is not what it measures.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulated import Behaviour, ControlClient
from tests.eventually import assert_eventually
from tests.system.books import Books, read_books
from tests.system.calls import call, results
from tests.system.daemon import SIMULATED_KEYS, Daemon, base_urls
from tests.system.people import as_user
from tests.system.program import MANAGER, Program

_LOADING_S = 300.0  # both vendors' SDKs, on a machine that is busy with other tests
_numbers = itertools.count(1)
_MOST_SHOWN = 20_000  # characters of the log
EVERYBODY = tuple(SIMULATED_KEYS)  # claude, kimi_k2


@dataclass(frozen=True, slots=True)
class Shared:
    daemon: Daemon
    simulated: ControlClient

    def behave(self, provider: str, *behaviours: Behaviour) -> None:
        self.simulated.behave(provider, *behaviours)

    def requests(self) -> dict[str, int]:
        """How many requests each provider has got since the test began."""
        return {name: self.simulated.counts(name).requests for name in EVERYBODY}

    def billed_nano(self) -> int:
        """What the providers would bill for what they delivered."""
        return sum(self.simulated.billed(name).nano for name in EVERYBODY)

    def books(self) -> Books:
        return read_books(self.daemon.ledger_file)

    def reload(self, config: str) -> None:
        """Returns once the daemon works with these settings."""
        self.daemon.reconfigure(config)

    def recover(self) -> None:
        """Providers answer again, and the daemon knows (a reload forgets failures)."""
        for name in EVERYBODY:
            self.simulated.reset(name)
        if any(state != "ok" for state in self._states()):
            self.daemon.reload()
            assert_eventually(lambda: all(state == "ok" for state in self._states()), message="recovery")

    def _states(self) -> list[str]:
        done = as_user("root", call(MANAGER, "ListProviders", flags=("--json=short",)))
        [rows] = results(done.stdout)
        return [row["state"] for row in rows if row["name"] in EVERYBODY]


@contextmanager
def sharing(
    directory: Path,
    simulated: ControlClient,
    config: str = "",
    environment: Mapping[str, str] | None = None,
    warm: bool = False,
) -> Iterator[Shared]:
    """At the end the daemon has to leave with status 0 and a clean log."""
    daemon = Daemon(directory, base_urls(simulated), config, environment=environment)
    for name in EVERYBODY:
        simulated.reset(name)
    with daemon.serving():
        if warm:
            asyncio.run(_warm_up())
        yield Shared(daemon, simulated)


async def _warm_up() -> None:
    async with await Program.open() as program:
        program.patience_s = _LOADING_S
        answers = [program.complete(task_type, "hello") for task_type in ("user_chat", "code_generation")]
        readings = [program.stats() for _ in range(8)]
        await asyncio.gather(*answers, *readings)


@pytest.fixture(scope="module", name="shared_of_module")
def shared_of_module_fixture(
    request: pytest.FixtureRequest, namespace: Path, simulated_of_session: ControlClient
) -> Iterator[Shared]:
    chosen = vars(request.module)
    with sharing(
        namespace / f"shared-{next(_numbers)}",
        simulated_of_session,
        chosen.get("CONFIG", ""),
        chosen.get("ENVIRONMENT"),
        chosen.get("WARM", False),
    ) as shared:
        yield shared


@pytest.fixture(name="shared")
def shared_fixture(request: pytest.FixtureRequest, shared_of_module: Shared) -> Iterator[Shared]:
    """A failed test shows what the daemon logged during it."""
    shared_of_module.recover()
    logged = len(shared_of_module.daemon.log())
    yield shared_of_module
    request.node.add_report_section("teardown", "log of cortexd", shared_of_module.daemon.log()[logged:][-_MOST_SHOWN:])
