"""Fixtures for tests of the installed package in a booted system. script/boot runs them and skips nothing; elsewhere,
and where systemd-nspawn cannot work, they are skipped.

`fresh`      a factory: each call boots a Debian on which cortexd was never installed
`installed`  one such system for a whole module: the package, the simulated providers as claude and kimi_k2, the
             credential CANARY_KEY for both, and the users alice (group cortex) and bob
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.boot.install import install, put_in_keys, start_simulated
from tests.boot.machine import Machine

_TREE, _PACKAGE = "CORTEXD_BOOT_TREE", "CORTEXD_BOOT_PACKAGE"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.boot)


def _given(variable: str) -> Path:
    if variable not in os.environ:
        pytest.skip("needs a Debian to boot and the package to install there: script/boot makes both and runs these")
    return Path(os.environ[variable])


@pytest.fixture(scope="session")
def package() -> Path:
    """The .deb of this checkout."""
    return _given(_PACKAGE)


@pytest.fixture(scope="session")
def boot(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Machine]:
    tree = _given(_TREE)
    return lambda: Machine(tree, tmp_path_factory.mktemp("machine"))


@pytest.fixture
def fresh(boot: Callable[[], Machine]) -> Iterator[Callable[[], Machine]]:
    with ExitStack() as machines:
        yield lambda: machines.enter_context(boot())


@pytest.fixture(scope="module")
def installed(boot: Callable[[], Machine], package: Path) -> Iterator[Machine]:
    with boot() as machine:
        install(machine, package)
        start_simulated(machine)
        put_in_keys(machine)
        machine.add_user("alice", "cortex")
        machine.add_user("bob")
        yield machine
