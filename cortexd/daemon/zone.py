"""The time zone whose midnight begins a day: of the whole process, so that no sum and no limit goes by another."""

from __future__ import annotations

import os
import time


def adopt_zone(name: str) -> None:
    """Before anything else runs. "": the machine's own, also where that changes later.

    The C library's zone is what datetime, the ledger's databases and Housekeeping go by."""
    if name:
        os.environ["TZ"] = name
        time.tzset()
