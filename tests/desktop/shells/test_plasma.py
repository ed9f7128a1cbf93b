"""The widget in a real Plasma under Xvfb, before the real daemon."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortexd.client import AsyncClient
from simulated import Behaviour
from tests.desktop.applet import eventually
from tests.desktop.conftest import ROOT, Router, need
from tests.desktop.screen import Screen, screen
from tests.desktop.shells.rooted import holds, output_of, rooted
from tests.desktop.test_panel import LEAST_PIXELS, colour_of

ID = "org.cortexlinux.llm"
WIDGET = ROOT / "desktop/plasma"
WINDOW_WIDTH, WINDOW_HEIGHT = 324, 160
PICTURES = "CORTEXD_SHELLS_PICTURES"


@contextmanager
def plasma(argv: list[str], session: str, router: Router, home: Path, shown_on: Screen) -> Iterator[Path]:
    """A program of Plasma's with the widget installed; its log."""
    place = home / f".local/share/plasma/plasmoids/{ID}"
    if not place.exists():
        subprocess.run([WIDGET / "install", place], check=True, timeout=60)
    environment = {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "DISPLAY": shown_on.display,
        "QT_QPA_PLATFORM": "xcb",
        "QT_QUICK_BACKEND": "software",
        "QT_FORCE_STDERR_LOGGING": "1",
        "DBUS_SESSION_BUS_ADDRESS": session,
        "DBUS_SYSTEM_BUS_ADDRESS": router.address,
    }
    log = home / "plasma.log"
    with rooted(argv, environment, log):
        yield log


async def seen(shown_on: Screen, state: str) -> None:
    """The screen shows the colour of this state."""

    async def ask() -> int:
        return await asyncio.to_thread(shown_on.count, colour_of(state))

    await eventually(ask, lambda pixels: pixels >= LEAST_PIXELS, f"the icon of {state} on the screen")


class TestLint:
    def test_qmllint(self, tmp_path: Path) -> None:
        """Plasma's own linter can read every file; types that it does not know are only its warnings."""
        plasma_version()
        subprocess.run([WIDGET / "install", tmp_path / ID], check=True, timeout=60)
        files = [str(path) for path in (tmp_path / ID).rglob("*.qml")]
        report = json.loads(output_of("/usr/lib/qt6/bin/qmllint", "--json", "-", *files))
        assert len(report["files"]) == len(files) >= 5
        complaints = [warning for linted in report["files"] for warning in linted["warnings"]]
        assert not [warning for warning in complaints if warning["type"] == "critical"]


@pytest.mark.timeout(180)
class TestPlasma:
    async def test_follows_the_daemon(self, session: str, router: Router, tmp_path: Path) -> None:
        """In a panel it shows each state as it comes, and starts the daemon never."""
        plasma_version()
        argv = ["plasmoidviewer", "--applet", ID, "--containment", "org.kde.panel", "--formfactor", "horizontal"]
        with screen(tmp_path) as shown_on, plasma(argv, session, router, tmp_path, shown_on) as log:
            async with AsyncClient(router.address) as client:
                router.served.simulated.behave("claude", Behaviour(input_tokens=10, output_tokens=20_000))  # $0.20
                await seen(shown_on, "ok")
                await client.set_budget("each_user", day_usd=0.25)
                await client.complete("user_chat", "hello", max_tokens=20_000)
                await seen(shown_on, "warn")
                router.served.stop()
                await seen(shown_on, "stale")
                router.assert_never_started_by_the_bus()
                router.served.start()
                await seen(shown_on, "warn")
                await client.set_budget("each_user", remove=True)
        assert complaints(log) == []

    async def test_menu(self, session: str, router: Router, tmp_path: Path) -> None:
        """In a window it shows the menu, and says in it why something is wrong."""
        version = plasma_version()
        with screen(tmp_path) as shown_on, plasma(["plasmawindowed", ID], session, router, tmp_path, shown_on) as log:
            async with AsyncClient(router.address) as client:
                before = await drawn(shown_on, b"")
                router.served.simulated.behave("claude", Behaviour(input_tokens=900, output_tokens=400))
                await client.complete("user_chat", "hello")
                await client.complete("code_generation", "hello")
                after = await drawn(shown_on, before)
                keep(shown_on, f"plasma-{version}-ok")
                router.served.stop()
                await drawn(shown_on, after)
                keep(shown_on, f"plasma-{version}-stale")
                router.served.start()
        assert complaints(log) == []


def plasma_version() -> str:
    """Of the tree's, as 6.3.6; skips where it has none."""
    holds("plasmawindowed")
    need({"Xvfb": "xvfb", "msgfmt": "gettext"})
    return output_of("dpkg-query", "--show", "--showformat=${source:Upstream-Version}", "plasma-workspace")


def complaints(log: Path) -> list[str]:
    """What Plasma says of the widget's files."""
    return [line for line in log.read_text().splitlines() if f"{ID}/contents" in line]


async def drawn(shown_on: Screen, before: bytes) -> bytes:
    """The screen once it is not black, and other than before, and stays as it is."""
    still = Still(shown_on)
    return await eventually(still.look, lambda seen: any(seen) and seen != before, "another picture")


class Still:
    """A look at the screen gives what two looks one after the other saw, and nothing where they differ."""

    def __init__(self, shown_on: Screen) -> None:
        self._screen = shown_on
        self._last = b""

    async def look(self) -> bytes:
        seen = await asyncio.to_thread(self._screen.picture)
        last, self._last = self._last, b"".join(seen.rows)
        return self._last if self._last == last else b""


def keep(shown_on: Screen, name: str) -> None:
    if PICTURES in os.environ:
        shown_on.save(Path(os.environ[PICTURES]) / f"{name}.png", WINDOW_HEIGHT, WINDOW_WIDTH)
