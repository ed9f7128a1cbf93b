"""Where the demo shows the desktop: in the user's own session, or on a screen of its own whose pictures are kept."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cortexd.connection import wire
from tests.bus.private_dbus import private_bus
from tests.bus.served import Served, simulated_providers
from tests.desktop.picture import Colour, Picture
from tests.desktop.programs import desktop_environment, dunst, running, xfce_panel
from tests.desktop.screen import Screen, screen
from tests.eventually import assert_eventually

_SIZE = (1000, 640)
_DEADLINE_S = 20.0
_STILL_S = 0.4  # nothing has moved for so long
_SESSION = "DBUS_SESSION_BUS_ADDRESS"


@dataclass(frozen=True, slots=True)
class Place:
    """`session` is the address of its bus, `variables` lead programs to it. `shown` is None in the user's session."""

    session: str
    variables: Mapping[str, str]
    directory: Path
    shown: Screen | None = None

    def still(self) -> Picture:
        """As it looks when nothing moves any more."""
        assert self.shown is not None
        deadline, before, since = time.monotonic() + _DEADLINE_S, self.shown.picture(), time.monotonic()
        while time.monotonic() - since < _STILL_S and time.monotonic() < deadline:
            time.sleep(0.05)
            now = self.shown.picture()
            if now != before:
                before, since = now, time.monotonic()
        return before

    def until_other(self, before: Picture) -> None:
        """Until a good part of it looks other than before, as when a window opens."""
        assert self.shown is not None
        shown = self.shown
        assert_eventually(
            lambda: sum(now != then for now, then in zip(shown.picture().rows, before.rows, strict=True)) > 100,
            _DEADLINE_S, "a window",
        )  # fmt: skip

    def find(self, colour: Colour) -> tuple[int, int]:
        """The middle of what has this colour, as soon as something has it."""
        assert self.shown is not None
        shown = self.shown
        return assert_eventually(lambda: shown.picture().middle(colour), _DEADLINE_S, f"the colour {colour}")

    def click(self, at: tuple[int, int]) -> None:
        self._xdotool("mousemove", str(at[0]), str(at[1]), "click", "1")

    def press(self, key: str) -> None:
        self._xdotool("key", key)

    def move(self, at: tuple[int, int]) -> None:
        self._xdotool("mousemove", str(at[0]), str(at[1]))

    def _xdotool(self, *words: str) -> None:
        subprocess.run(["xdotool", *words], env=dict(self.variables), check=True, timeout=_DEADLINE_S)

    @contextmanager
    def program(self, argv: Sequence[str], more: Mapping[str, str] | None = None) -> Iterator[None]:
        with running(list(argv), {**self.variables, **(more or {})}, self.directory / f"{Path(argv[0]).name}.log"):
            yield


def own_session(environ: Mapping[str, str]) -> bool:
    """Whether the user sits before a desktop that programs of ours may appear on."""
    return bool((environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")) and environ.get(_SESSION))


def users_place(directory: Path) -> Place:
    return Place(os.environ[_SESSION], dict(os.environ), directory)


@contextmanager
def own_place(directory: Path, more: Mapping[str, str] | None = None, size: tuple[int, int] = _SIZE) -> Iterator[Place]:
    """Xvfb with Xfce's panel, which shows items, and dunst, which shows notifications."""
    with private_bus() as bus, screen(directory, *size) as shown:
        variables = {**desktop_environment(directory, bus.address, shown), **(more or {})}
        with xfce_panel(directory, variables), dunst(directory, variables):
            yield Place(bus.address, variables, directory, shown)


@contextmanager
def served_on_bus(directory: Path) -> Iterator[Served]:
    """The daemon, on a bus that knows it as one of its services, before simulated providers."""
    activation = directory / f"services/{wire.BUS_NAME}.service"
    activation.parent.mkdir()
    activation.write_text(f"[D-BUS Service]\nName={wire.BUS_NAME}\nExec=/bin/false\n")
    with simulated_providers(directory) as simulated:
        served = Served(directory, simulated)
        try:
            served.start()
            yield served
        finally:
            served.close()
