"""The programs of a desktop that the tests run for real: a panel that shows items, a server of notifications."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path

from tests.desktop.screen import Screen

_PANEL = """<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array"><value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="length" type="double" value="100"/>
      <property name="size" type="uint" value="32"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="systray">
      <property name="square-icons" type="bool" value="true"/>
    </property>
  </property>
</channel>
"""
# notifications are printed as they are shown; the menu of a notification's buttons is a program that gets them as lines
_DUNST = """[global]
history_length = 100
notification_limit = 20
dmenu = /usr/bin/env grep --max-count 1 --fixed-strings --file {chosen}
"""


def desktop_environment(home: Path, session: str, screen: Screen) -> dict[str, str]:
    """Of a session of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "LC_ALL", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_RUNTIME_DIR": str(home),
        "DBUS_SESSION_BUS_ADDRESS": session,
        "DISPLAY": screen.display,
        "NO_AT_BRIDGE": "1",
        "GDK_BACKEND": "x11",
    }


@contextmanager
def running(argv: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output, subprocess.Popen(
        argv, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def xfce_panel(home: Path, environment: dict[str, str]) -> Iterator[None]:
    """Xfce's panel at the top of the screen with nothing but its status tray, which is also the watcher of items."""
    settings = home / ".config/xfce4/xfconf/xfce-perchannel-xml/xfce4-panel.xml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(_PANEL)
    [daemon] = glob("/usr/lib/*/xfce4/xfconf/xfconfd")
    with (
        running([daemon], environment, home / "xfconfd.log"),
        running(["xfce4-panel", "--disable-wm-check"], environment, home / "panel.log"),
    ):
        yield


def chosen_button(home: Path) -> Path:
    return home / "chosen-button"


@contextmanager
def dunst(home: Path, environment: dict[str, str]) -> Iterator[Path]:
    """A server of notifications; the file gets a description of each that is shown. Who opens the menu of their buttons
    presses the one that stands in chosen_button."""
    settings = home / "dunstrc"
    settings.write_text(_DUNST.format(chosen=chosen_button(home)))
    log = home / "dunst.log"
    with running(["dunst", "-config", str(settings), "-print"], environment, log):
        yield log
