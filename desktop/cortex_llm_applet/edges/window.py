"""The window as a program of its own: GTK would not fit into the panel item's memory."""

from __future__ import annotations

import logging
from pathlib import Path

import gi
from gi.repository import GLib

log = logging.getLogger("cortex-llm-applet")
# by version, as the window asks for them
_LIBRARIES = (("Gtk", "4.0"), ("Adw", "1"))


def can_open(program: Path) -> bool:
    """Whether the program and its libraries are installed; none of them is loaded."""
    try:
        for name, version in _LIBRARIES:
            gi.require_version(name, version)
    except ValueError:
        return False
    return program.exists()


def open_window(program: Path, router_bus: str) -> None:
    """A second one would only bring the first to the front."""
    argv = [str(program), "--bus", router_bus]
    try:
        GLib.spawn_async(argv, flags=GLib.SpawnFlags.DEFAULT)
    except GLib.Error as error:
        log.warning("%s: %s", program, error.message)
