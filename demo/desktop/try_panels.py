"""script/try-panels, inside script/private-bus: each panel of docs/panels.md really runs before the real daemon.

For each state the panel is started and has to show its colour; a picture of all states is written. Then the daemon is
killed and started again while the panel watches.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cortexd.cli.panels.formats import LOOKS
from cortexd.cli.panels.spending import State
from demo.desktop.bars import BARS, Bar
from demo.desktop.states import RECIPES, bring_about
from demo.desktop.sway import Pointer, sway
from demo.screen import Screen
from demo.stage import Stage
from tests.desktop.picture import Colour, Picture, stacked
from tests.desktop.screen import screen
from tests.eventually import assert_eventually

_USER = "alice"
_WIDTH, _HEIGHT = 640, 200
_BAR_HEIGHT, _TEXT_WIDTH = 30, 300
_DEADLINE_S = 20.0
_LEAST_PIXELS = 20
_FRAME = 4  # rows that may be a border
_DISC = 6  # so wide and so high it is at least; no letter is
_TOLD_S = 1.0  # the issue's: right within a second
_NAME = "org.cortexlinux.LLMRouter"
_ON_BUS = ("busctl", "--quiet", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus")
_ACTIVATION = "[D-BUS Service]\nName={name}\nUser=root\nExec=/usr/bin/touch {started}\n"


def _colour(look: str) -> Colour:
    red, green, blue = bytes.fromhex(look.removeprefix("#"))
    return red, green, blue


_COLOURS = {state: _colour(look) for state, (_mark, look) in LOOKS.items() if look}


class NotShown(Exception):
    """The panel did not show what it should."""


@dataclass(frozen=True, slots=True)
class Running:
    """A bar on its screen. `pointer` only on Wayland."""

    bar: Bar
    pictures: Path
    picture: Callable[[], Picture]
    pointer: Pointer | None = None

    def text(self) -> Picture:
        """Where the module's text stands: at the right end of the bar."""
        shown = self.picture()
        return shown.cut(shown.width - _TEXT_WIDTH, 0, _TEXT_WIDTH, _BAR_HEIGHT)

    def until(self, state: State, deadline_s: float = _DEADLINE_S) -> float:
        """Seconds until it shows the state's colour. Raises NotShown."""
        began = time.monotonic()
        while not _shows(self.text(), state):
            if time.monotonic() - began > deadline_s:
                file = self.pictures / f"{self.bar.name}-is-not-{state.value}.png"
                self.picture().save(file)
                raise NotShown(f"{self.bar.name} does not show {state.value}, but {file}")
            time.sleep(0.01)
        return time.monotonic() - began


class Desk:
    """A user's place: runs programs as that user, in a directory of its own."""

    def __init__(self, stage: Stage, directory: Path) -> None:
        self.stage, self.directory = stage, directory
        user = pwd.getpwnam(_USER)
        directory.mkdir(mode=0o700)
        os.chown(directory, user.pw_uid, user.pw_gid)
        self._log = directory.parent / "programs.log"

    def start(self, argv: list[str], variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
        own = {"HOME": str(self.directory), "XDG_CONFIG_HOME": str(self.directory), "GTK_THEME": "Adwaita:dark"}
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self.stage.as_user(_USER, argv),
                env={**self.stage.environment(_USER), **own, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if argv[0] == "grim" else log,
                stderr=log,
            )

    @contextmanager
    def session(self) -> Iterator[None]:
        """A session bus at its usual place: xmobar does without it nothing at all."""
        address = f"unix:path={self.directory}/bus"
        with self.start(["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={address}"], {}) as bus:
            try:
                assert_eventually((self.directory / "bus").exists, _DEADLINE_S, "the session bus")
                yield
            finally:
                bus.terminate()

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    @contextmanager
    def screen(self, bar: Bar) -> Iterator[tuple[dict[str, str], Callable[[], Picture], Pointer | None]]:
        """The variables that lead to a screen of the kind that the bar needs, and how it looks."""
        if bar.wayland:
            with sway(self.directory, self.start, _WIDTH, _HEIGHT) as wayland:
                yield wayland.variables, wayland.picture, wayland.pointer
        else:
            with screen(self.directory, _WIDTH, _HEIGHT) as x:
                yield {"DISPLAY": x.display, "XDG_RUNTIME_DIR": str(self.directory)}, x.picture, None

    @contextmanager
    def running(self, bar: Bar, variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        for name, text in bar.files(self.directory).items():
            (self.directory / name).write_text(text)
        argv = [part.format(directory=self.directory) for part in bar.command]
        with self.start(argv, variables) as process:
            try:
                yield process
            finally:
                process.terminate()


def _shows(text: Picture, state: State) -> bool:
    """Some panels draw loading and ok in one colour: then ok has a disc, and loading no more than a dash."""
    if state in _COLOURS:
        return text.count(_COLOURS[state], 2) >= _LEAST_PIXELS
    if any(text.count(colour, 2) >= _LEAST_PIXELS for colour in _COLOURS.values()):
        return False
    tall = sum(_longest(row) >= _DISC for row in text.rows[_FRAME:-_FRAME])
    return tall >= _DISC if state is State.OK else 0 < tall < _DISC


def _longest(row: bytes) -> int:
    """The longest line of one colour in it that is not the colour it begins with; letters draw none."""
    pixels = (row[x : x + 3] for x in range(0, len(row), 3))
    return max((len(list(run)) for colour, run in groupby(pixels) if colour != row[:3]), default=0)


def _states(desk: Desk, bar: Bar, pictures: Path) -> None:
    """Each state in a bar that starts with it; one picture of them all."""
    found = []
    with desk.screen(bar) as (variables, picture, pointer):
        running = Running(bar, pictures, picture, pointer)
        for state in RECIPES:
            with ExitStack() as stack:
                if state is State.STALE:  # so that there are figures of before
                    stack.enter_context(desk.running(bar, variables))
                    running.until(State.OK)
                    stack.enter_context(bring_about(desk.stage, state))
                else:
                    stack.enter_context(bring_about(desk.stage, state))
                    stack.enter_context(desk.running(bar, variables))
                running.until(state)
                found.append(running.text())
                if state is State.OVER and pointer:
                    _tooltip(running, pictures / f"{bar.name}-tooltip.png")
    stacked(found, 0).save(pictures / f"{bar.name}.png")
    print(f"{bar.name}: {len(found)} states: {pictures / bar.name}.png")


def _tooltip(running: Running, path: Path) -> None:
    assert running.pointer is not None
    before = running.picture()
    running.pointer.move(_WIDTH - 40, _BAR_HEIGHT // 2)
    deadline = time.monotonic() + _DEADLINE_S
    while running.picture().rows[_BAR_HEIGHT + 10 :] == before.rows[_BAR_HEIGHT + 10 :]:
        if time.monotonic() > deadline:
            raise NotShown("no tooltip under the pointer")
        time.sleep(0.05)
    time.sleep(0.5)  # it is faded in
    running.picture().cut(height=110).save(path)
    running.pointer.move(10, _HEIGHT - 10)
    print(f"{running.bar.name}: tooltip: {path}")


def _restarts(desk: Desk, bar: Bar, pictures: Path, times: int) -> None:
    """The daemon is killed and started again under a bar that watches."""
    started = desk.directory.parent / "started"
    gone, back = [], []
    with desk.screen(bar) as (variables, picture, pointer), _activatable(started), desk.running(bar, variables):
        running = Running(bar, pictures, picture, pointer)
        running.until(State.OK)
        for _time in range(times):
            desk.stage.stop_daemon(signal.SIGKILL)
            gone.append(running.until(State.STALE))
            desk.stage.start_daemon()
            back.append(running.until(State.OK))
    print(f"{bar.name}: {times} restarts: stale after {max(gone):.2f} s at most, right after {max(back):.2f} s at most")
    if max(gone + back) > _TOLD_S:
        raise NotShown(f"{bar.name} was not right within {_TOLD_S:g} s")
    if started.exists():
        raise NotShown(f"{bar.name} made the bus start the service")


@contextmanager
def _activatable(started: Path) -> Iterator[None]:
    """The bus may start the service; `started` appears when it does."""
    file = Path(os.environ["CORTEXD_NAMESPACE_DIR"]) / "services" / f"{_NAME}.service"
    file.write_text(_ACTIVATION.format(name=_NAME, started=started))
    subprocess.run([*_ON_BUS, "ReloadConfig"], check=True)
    try:
        yield
    finally:
        file.unlink()


def _try(bar: Bar, stage: Stage, pictures: Path, restarts: int) -> None:
    missing = [package for program, package in bar.needed.items() if not shutil.which(program)]
    if missing:
        raise NotShown(f"{bar.name}: not installed: {' '.join(missing)}")
    desk = Desk(stage, Path(pwd.getpwnam(_USER).pw_dir) / bar.name)
    try:
        with desk.session():
            _states(desk, bar, pictures)
            _restarts(desk, bar, pictures, restarts)
    except (NotShown, AssertionError) as error:
        raise NotShown(f"{error}\n{desk.log[-3000:]}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="script/try-panels", description=__doc__)
    parser.add_argument("--restarts", type=int, default=50, metavar="N", help="of the daemon, for each panel; 50")
    parser.add_argument("--pictures", type=Path, required=True, metavar="DIR", help="where pictures go")
    parser.add_argument("bars", nargs="*", metavar="PANEL", help=f"of {', '.join(BARS)}; all")
    options = parser.parse_args(arguments)
    failed = 0
    with Stage(Screen(), real=False) as stage:
        for name in options.bars or BARS:
            try:
                _try(BARS[name], stage, options.pictures, options.restarts)
            except NotShown as error:
                failed = 1
                print(error, file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
