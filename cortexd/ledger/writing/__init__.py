"""What is written: one thread, and what requests become in its transactions.

Its modules need SQLAlchemy; each is imported when it is first used, which is in the ledger's threads.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortexd.ledger.writing import learned, outcomes, own_caps, owners, preferences

    __all__ = ["learned", "outcomes", "own_caps", "owners", "preferences"]
else:

    def __getattr__(name: str) -> ModuleType:
        if name.startswith("_"):
            raise AttributeError(name)
        return import_module(f"{__name__}.{name}")
