"""A ledger in which nothing is to be done, as it is before it is opened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from cortexd.ledger.records import Totals


class NotResting(Exception):
    """It cannot be read so: it has been opened meanwhile, or the opening says what is wrong."""


class Resting(ABC):
    """Claimed for this daemon; any thread may read it.

    It `rests` where a daemon needs to do nothing before it serves: the schema is the newest, the machine is known as it
    is, nothing is pending, and it can be written, which was tried. Whatever else it is, the opening says.
    """

    rests = False
    totals = Totals()
    """Of all users and all time."""
    host = 0
    """This machine's number in it."""

    @abstractmethod
    def rows(self, statement: str, /, **values: Any) -> list[tuple[Any, ...]]:
        """As at_start.Rows. Raises NotResting."""

    @abstractmethod
    def refuse_gone(self) -> None:
        """Raise LedgerUnavailable, which says what to do, where the ledger has gone meanwhile."""

    @abstractmethod
    def opened(self) -> None:
        """It is read otherwise from now on; it stays claimed."""

    @abstractmethod
    def let_go(self) -> None:
        """Others may have it."""
