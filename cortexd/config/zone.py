"""Time zones by name: the machine's own, and those that it knows."""

from __future__ import annotations

import os
import time
from pathlib import Path

from cortexd.config.problems import Expectation

_LOCALTIME = Path("/etc/localtime")
_UTC = "UTC"


def local_zone() -> str:
    """As TZ says, or the machine; UTC where neither names one."""
    if given := os.environ.get("TZ", "").removeprefix(":"):
        return given
    _, found, name = os.path.realpath(_LOCALTIME).rpartition("/zoneinfo/")
    return name if found else _UTC


def adopt_zone(name: str) -> None:
    """Let this process go by a zone, before anything else runs; "" for the machine's, also where that changes later.

    The C library's is what datetime and the ledger's databases go by: so no sum and no limit has another midnight."""
    if name:
        os.environ["TZ"] = name
        time.tzset()


def time_zone(value: object) -> str:
    """The name of a zone that this machine knows; "" for its own. Raises Expectation."""
    if value == "":
        return ""
    if not isinstance(value, str) or not value.isprintable():
        raise Expectation('a time zone such as "Europe/Berlin", or "" for the machine\'s own')
    if value != _UTC and not _known(value):
        raise Expectation(
            f'a time zone that this machine knows, such as "Europe/Berlin"; {value[:60]!r} is none. Look at '
            "timedatectl list-timezones, or install the package tzdata"
        )
    return value


def _known(name: str) -> bool:
    """By the files that the C library reads, too: it takes an unknown name for UTC, and says nothing."""
    import zoneinfo  # which loads the interpreter's build settings

    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return any(Path(place, name).is_file() for place in zoneinfo.TZPATH)
