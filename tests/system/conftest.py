"""Fixtures for tests of the whole system, which need script/private-bus (script/test) and are skipped elsewhere.

`daemon`     a factory: `daemon(config="…", keys={…}, environment={…})` starts cortexd beside the simulated providers
             and returns a Daemon (tests/system/daemon.py); `start=False` leaves starting to the test
`simulated`  the simulated providers, as a ControlClient; reset for each test
`as_user`    runs a command as alice, bob, carol or root (tests/system/people.py), with an authentication agent if asked
`background` leaves a command running as a user until the test ends
`polkitd`, `bus`  pause, resume, kill, restart; made whole again after the test
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from simulated import ControlClient
from tests.bus.served import simulated_providers
from tests.system import people
from tests.system.daemon import SIMULATED_KEYS, Daemon, base_urls
from tests.system.namespace import NAMESPACE, Service, bus_service, polkit_service

_daemons = pytest.StashKey[list[Daemon]]()
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def namespace() -> Path:
    """The scratch directory of the namespace. Every fixture below stands on it, and so does a test that names none."""
    if NAMESPACE is None:
        pytest.skip(
            "needs the private system bus: script/test runs it, or script/private-bus .venv/bin/python -m pytest"
        )
    return NAMESPACE


@pytest.fixture
def as_user(namespace: Path) -> Callable[..., people.Completed]:
    return people.as_user


@pytest.fixture
def background(namespace: Path) -> Iterator[Callable[..., people.Background]]:
    started: list[people.Background] = []

    def start(name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> people.Background:
        output = namespace / f"background-{next(_numbers)}"
        started.append(people.Background(name, argv, output, environment))
        return started[-1]

    yield start
    for process in started:
        process.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def polkit_of_session(namespace: Path) -> Service:
    return polkit_service(namespace)


@pytest.fixture(scope="session")
def bus_of_session(namespace: Path) -> Service:
    return bus_service(namespace)


@pytest.fixture
def polkitd(polkit_of_session: Service) -> Iterator[Service]:
    yield polkit_of_session
    polkit_of_session.restore()


@pytest.fixture
def bus(bus_of_session: Service, polkit_of_session: Service) -> Iterator[Service]:
    """polkitd leaves with the bus; both are restored."""
    yield bus_of_session
    bus_of_session.restore()
    polkit_of_session.restore()


@pytest.fixture(scope="session")
def simulated_of_session(namespace: Path) -> Iterator[ControlClient]:
    with simulated_providers(namespace) as simulated:
        yield simulated


@pytest.fixture
def simulated(simulated_of_session: ControlClient) -> ControlClient:
    for name in SIMULATED_KEYS:
        simulated_of_session.reset(name)
    return simulated_of_session


@pytest.fixture
def daemon(
    request: pytest.FixtureRequest, namespace: Path, simulated: ControlClient
) -> Iterator[Callable[..., Daemon]]:
    """After the test each daemon still running gets SIGTERM, and has to leave with status 0 and a clean log."""
    daemons = request.node.stash.setdefault(_daemons, [])

    def make(config: str = "", start: bool = True, **options: Any) -> Daemon:
        made = Daemon(namespace / f"daemon-{next(_numbers)}", base_urls(simulated), config, **options)
        daemons.append(made)
        if start:
            made.start()
        return made

    yield make
    statuses = [made.stop() for made in daemons if made.running]
    for made in daemons:
        made.assert_clean_log()
    assert not any(statuses), f"exit statuses on SIGTERM: {statuses}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what its daemons logged."""
    report = yield
    if report.failed:
        for daemon in item.stash.get(_daemons, []):
            report.sections.append((f"log of cortexd in {daemon.directory.name}", daemon.log()))
    return report
