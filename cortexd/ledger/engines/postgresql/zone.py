"""This machine's time zone by a name that PostgreSQL knows."""

from __future__ import annotations

import os
from pathlib import Path

_LOCALTIME = Path("/etc/localtime")


def local_zone() -> str:
    """As TZ says, or the machine; UTC where neither names one."""
    if given := os.environ.get("TZ", "").removeprefix(":"):
        return given
    _, found, name = os.path.realpath(_LOCALTIME).rpartition("/zoneinfo/")
    return name if found else "UTC"
