"""The ledger as something that lasts: its tables, their history, retention, copies and checks.

Its modules need SQLAlchemy; each is imported when it is first used, which is in the ledger's threads.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortexd.ledger.keeping import beside, hosts, pruner

    __all__ = ["beside", "hosts", "pruner"]
else:

    def __getattr__(name: str) -> ModuleType:
        if name.startswith("_"):
            raise AttributeError(name)
        return import_module(f"{__name__}.{name}")
