"""Another program in our place: its command or unit comes before ours, as after Cortex's own daemon was installed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from cortexd.cli.machine.unit import UNIT

_VENDORS = (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))
_OWN = Path("/usr/local/lib/systemd/system")  # where `cortexctl service install` puts it
_ADMINISTRATORS = Path("/etc/systemd/system")


def others() -> list[str]:
    """What stands in the way, each with its path; empty where all is ours."""
    return [found for found in (_unit(), _command()) if found]


def _unit() -> str:
    """The one that systemd takes, where another that was installed is behind it."""
    places = (_ADMINISTRATORS, _OWN, *_VENDORS)
    units = [directory / UNIT for directory in places if (directory / UNIT).exists()]
    if len(units) < 2 or units[0].parent in _VENDORS or not units[0].is_file():
        return ""
    mend = "is it yours?" if units[0].parent == _ADMINISTRATORS else "sudo cortexctl service remove takes it away"
    return f"{units[0]} stands in place of the package's unit: {mend}"


def _command() -> str:
    """The daemon that a shell would start, where it is not the one beside this program."""
    own, first = Path(sys.argv[0]).resolve().with_name("cortexd"), shutil.which("cortexd")
    if first is None or not own.is_file() or Path(first).resolve() == own.resolve():
        return ""
    return f"{first} is another program's command; ours is {own}"
