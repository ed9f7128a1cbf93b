"""Fixtures for tests of the installed package in a booted system. script/boot runs them and skips nothing; elsewhere,
and where systemd-nspawn cannot work, they are skipped.

`fresh`      a factory: each call boots a Debian on which cortexd was never installed
`installed`  one such system for a whole module: the package, the simulated providers as claude and kimi_k2, the
             credential CANARY_KEY for both, and the users alice (group cortex) and bob
`upstream`   its simulated claude, which behaves again when the test ends
`drop_in`    settings of the unit there, `settings` of cortexd, for one test
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cortexd import __version__
from tests.boot.install import NEWER, install, put_in_keys, start_simulated
from tests.boot.load import Upstream
from tests.boot.machine import Machine

_TREE, _PACKAGE, _PREDECESSOR = "CORTEXD_BOOT_TREE", "CORTEXD_BOOT_PACKAGE", "CORTEXD_BOOT_PREDECESSOR"
_DROP_IN = "/run/systemd/system/cortex-llm-router.service.d/test.conf"
_SETTINGS = "/etc/cortexd/conf.d/90-test.toml"
Write = Callable[[str], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.boot)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(400))  # another Debian boots beside it


def _given(variable: str) -> Path:
    if variable not in os.environ:
        pytest.skip("needs a Debian to boot and the package to install there: script/boot makes both and runs these")
    return Path(os.environ[variable])


@pytest.fixture(scope="session")
def package() -> Path:
    """The .deb of this checkout."""
    return _given(_PACKAGE)


@pytest.fixture(scope="session")
def for_postgresql(package: Path) -> Path:
    """The .deb of what a shared ledger needs."""
    return _given("CORTEXD_BOOT_POSTGRESQL")


@pytest.fixture(scope="session")
def of_debian_12(package: Path) -> Path:
    """The .deb of this checkout for Debian 12, whichever Debian is booted."""
    return _given(_PREDECESSOR)


@pytest.fixture(scope="session")
def newer(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same package under the version NEWER, which the daemon says as well."""
    directory = tmp_path_factory.mktemp("newer")
    root, result = directory / "root", directory / "newer.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(root)], check=True, timeout=60)
    for name in ("DEBIAN/control", "usr/lib/python3/dist-packages/cortexd/__init__.py"):
        file = root / name
        text = file.read_text()
        assert __version__ in text
        file.write_text(text.replace(__version__, NEWER, 1))
    build = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(root), str(result)]
    subprocess.run(build, check=True, timeout=60, stdout=subprocess.DEVNULL)
    return result


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


@pytest.fixture
def upstream(installed: Machine) -> Iterator[Upstream]:
    claude = Upstream(installed)
    claude.reset()
    yield claude
    claude.reset()


@pytest.fixture
def drop_in(installed: Machine) -> Iterator[Write]:
    """A factory: settings of the unit for this test, under which the service runs when it returns."""

    def write(text: str) -> None:
        installed.write(_DROP_IN, f"[Service]\n{text}")
        installed.run("systemctl", "daemon-reload")
        installed.run("systemctl", "restart", "cortex-llm-router.service")

    yield write
    installed.run("rm", "-f", _DROP_IN)
    installed.run("systemctl", "daemon-reload")
    installed.run("systemctl", "restart", "cortex-llm-router.service")


@pytest.fixture
def settings(installed: Machine) -> Iterator[Write]:
    """A factory: settings of cortexd for this test, under which it runs when it returns."""

    def write(text: str) -> None:
        installed.write(_SETTINGS, text)
        installed.run("systemctl", "restart", "cortex-llm-router.service")

    yield write
    installed.run("rm", "-f", _SETTINGS)
    installed.run("systemctl", "restart", "cortex-llm-router.service")
