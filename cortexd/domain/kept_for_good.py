"""Python's search for garbage, where much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_for_good() -> Iterator[None]:
    """What is made meanwhile stays, so that garbage is looked for neither while large libraries are imported nor in
    them afterwards: a collection that goes through an SDK holds up every call for tens of milliseconds."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
