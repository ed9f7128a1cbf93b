"""Importing a library that is large, beside a loop that goes on."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_one = threading.Lock()


@contextmanager
def large_import() -> Iterator[None]:
    """One at a time, as two might meet half-initialised modules in each other's dependencies. What is made stays, so
    that garbage is looked for neither meanwhile nor in it afterwards: a collection that goes through an SDK holds up
    every call for tens of milliseconds."""
    with _one:
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            gc.freeze()
            if enabled:
                gc.enable()
