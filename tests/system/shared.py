"""One daemon for all tests of a module, for what leaves it as it found it: providers recover between the tests.

`shared`  a Shared: the daemon, its ledger, the simulated providers (reset) and the daemon's view of them (healthy).
          A module sets `CONFIG` (TOML) and `ENVIRONMENT` where it wants other ones than everybody has.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cortexd.demo.simulated import Behaviour, ControlClient
from tests.eventually import assert_eventually
from tests.system.books import Books, read_books
from tests.system.calls import call, results
from tests.system.daemon import SIMULATED_KEYS, Daemon
from tests.system.people import as_user
from tests.system.program import MANAGER

_numbers = itertools.count(1)
_RELOADED = "configuration reloaded"
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
        before = self.daemon.log().count(_RELOADED)
        self.daemon.configure(config)
        self.daemon.reload()
        assert_eventually(lambda: self.daemon.log().count(_RELOADED) > before, message=_RELOADED)

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


@pytest.fixture(scope="module", name="shared_of_module")
def shared_of_module_fixture(
    request: pytest.FixtureRequest, namespace: Path, simulated_of_session: ControlClient
) -> Iterator[Shared]:
    urls = "".join(f'[providers.{name}]\nbase_url = "{simulated_of_session.url(name)}"\n' for name in EVERYBODY)
    daemon = Daemon(
        namespace / f"shared-{next(_numbers)}",
        urls,
        getattr(request.module, "CONFIG", ""),
        environment=getattr(request.module, "ENVIRONMENT", None),
    )
    daemon.start()
    yield Shared(daemon, simulated_of_session)
    status = daemon.stop()
    daemon.assert_clean_log()
    assert status == 0


@pytest.fixture(name="shared")
def shared_fixture(request: pytest.FixtureRequest, shared_of_module: Shared) -> Iterator[Shared]:
    """A failed test shows what the daemon logged during it."""
    shared_of_module.recover()
    logged = len(shared_of_module.daemon.log())
    yield shared_of_module
    request.node.add_report_section("teardown", "log of cortexd", shared_of_module.daemon.log()[logged:])
