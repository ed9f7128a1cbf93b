"""For tests of the desktop applet, which run what desktop/install makes.

`installed`  the applet's program, installed once with its catalogues
`session`    the address of a session bus of the test's own
`router`     a Router: the real daemon on a bus of its own that could start it, before simulated providers
`desktop`    a Desktop: `session` with a screen, Xfce's panel and a server of notifications
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import pytest

from cortexd.connection import wire
from tests.bus.private_dbus import private_bus
from tests.bus.served import KEYS, Served, simulated_providers
from tests.desktop.programs import desktop_environment, dunst, xfce_panel
from tests.desktop.screen import Screen, screen

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {"msgfmt": "gettext"}
NEEDED_BY_WINDOW = {
    "/usr/lib/*/girepository-1.0/Gtk-4.0.typelib": "gir1.2-gtk-4.0",
    "/usr/lib/*/girepository-1.0/Adw-1.typelib": "gir1.2-adw-1",
    "/usr/libexec/at-spi2-registryd": "at-spi2-core",
}
NEEDED_ON_SCREEN = {"Xvfb": "xvfb", "xfce4-panel": "xfce4-panel", "dunst": "dunst"}
_ACTIVATION = "[D-BUS Service]\nName={name}\nExec=/usr/bin/touch {started}\n"


def need(programs: dict[str, str]) -> None:
    """Skip where a program is missing; with CI=true that is a failure."""
    missing = sorted(package for program, package in programs.items() if not shutil.which(program))
    if not Path("/usr/lib/python3/dist-packages/gi").is_dir():
        missing.append("python3-gi")
    if not missing:
        return
    _skip(missing)


def need_window() -> None:
    """As need(), for what the window takes."""
    need({**NEEDED, "Xvfb": "xvfb"})
    missing = [package for path, package in NEEDED_BY_WINDOW.items() if not glob(path)]
    if missing:
        _skip(missing)


def _skip(missing: list[str]) -> None:
    reason = f"needs the packages {', '.join(missing)}; script/bootstrap --tests installs them"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(slots=True)
class Router:
    """`started`: a file that appears when anybody makes the bus start the service."""

    served: Served
    started: Path

    @property
    def address(self) -> str:
        return self.served.address

    def assert_never_started_by_the_bus(self) -> None:
        assert not self.started.exists(), "somebody made the bus start the service"


@dataclass(frozen=True, slots=True)
class Desktop:
    session: str
    screen: Screen
    notifications: Path


@pytest.fixture(scope="session", name="installed")
def installed_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need(NEEDED)
    place = tmp_path_factory.mktemp("applet")
    subprocess.run([ROOT / "desktop/install", place], check=True, timeout=60)
    return place / "usr/bin/cortex-llm-applet"


@pytest.fixture(name="session")
def session_fixture() -> Iterator[str]:
    with private_bus() as bus:
        yield bus.address


@pytest.fixture(scope="module", name="router_of_module")
def router_of_module_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    directory = tmp_path_factory.mktemp("router")
    services, started = directory / "services", directory / "started"
    services.mkdir()
    (services / f"{wire.BUS_NAME}.service").write_text(_ACTIVATION.format(name=wire.BUS_NAME, started=started))
    with simulated_providers(directory) as simulated:
        served = Served(directory, simulated)
        try:
            yield Router(served, started)
        finally:
            served.close()


@pytest.fixture(name="router")
def router_fixture(router_of_module: Router) -> Iterator[Router]:
    """Running; at the end nobody may have made the bus start it."""
    served = router_of_module.served
    for name in KEYS:
        served.simulated.reset(name)
    if not served.running:
        served.start()
    yield router_of_module
    router_of_module.assert_never_started_by_the_bus()


@pytest.fixture(name="desktop")
def desktop_fixture(session: str, tmp_path: Path) -> Iterator[Desktop]:
    need(NEEDED_ON_SCREEN)
    with screen(tmp_path) as shown:
        environment = desktop_environment(tmp_path, session, shown)
        with xfce_panel(tmp_path, environment), dunst(tmp_path, environment) as log:
            yield Desktop(session, shown, log)
