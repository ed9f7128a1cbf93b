"""What is read: sums, reports, and the ledger held against itself.

Its modules need SQLAlchemy; each is imported when it is first used, which is in the ledger's threads.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortexd.ledger.reading import fleet_settings, learned, queries, reported, rollups, statistics, usage

    __all__ = ["fleet_settings", "learned", "queries", "reported", "rollups", "statistics", "usage"]
else:

    def __getattr__(name: str) -> ModuleType:
        if name.startswith("_"):
            raise AttributeError(name)
        return import_module(f"{__name__}.{name}")
