"""Another program in our place: its command or unit comes before ours, as after Cortex's own daemon was installed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from cortexd.cli.machine.unit import UNIT

_VENDORS = (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))
_ADMINISTRATORS = Path("/etc/systemd/system")


def others() -> list[str]:
    """What stands in the way, each with its path; empty where all is ours."""
    return [found for found in (_unit(), _command()) if found]


def _unit() -> str:
    shadow = _ADMINISTRATORS / UNIT
    if not shadow.is_file() or not any((directory / UNIT).exists() for directory in _VENDORS):
        return ""
    return f"{shadow} stands in place of the package's unit: is it yours?"


def _command() -> str:
    """The daemon that a shell would start, where it is not the one beside this program."""
    own, first = Path(sys.argv[0]).resolve().with_name("cortexd"), shutil.which("cortexd")
    if first is None or not own.is_file() or Path(first).resolve() == own.resolve():
        return ""
    return f"{first} is another program's command; ours is {own}"
