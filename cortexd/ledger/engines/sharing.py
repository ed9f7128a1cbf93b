"""What several daemons on one ledger need of its database: locks, a common clock, and what became of a transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, Table


class Sharing(ABC):
    """Like an Engine it holds nothing. A database that only one daemon writes at a time has none."""

    @abstractmethod
    def enter(self, connection: Connection, alone: bool) -> None:
        """Begin a writing transaction's work: it ends within a bound, and no other writes meanwhile if it is `alone`.

        Whoever is alone sees every entry below the newest: none of a lower number comes later.
        """

    @abstractmethod
    def take(self, connection: Connection, names: Iterable[str]) -> None:
        """Hold the locks of these names until the transaction ends; all take them in the same order."""

    @abstractmethod
    def now(self, connection: Connection) -> datetime:
        """The time by the database's clock, aware."""

    @abstractmethod
    def mark(self, connection: Connection) -> str:
        """What `committed` knows the open transaction by."""

    @abstractmethod
    def committed(self, connection: Connection, mark: str) -> bool | None:
        """Whether the transaction of this mark was committed; None while it is neither committed nor gone."""

    @abstractmethod
    def again(self, error: BaseException) -> bool:
        """Whether the same transaction may succeed at once: it was in another's way."""

    @abstractmethod
    def may_change(self, connection: Connection, table: Table) -> bool:
        """Whether the database lets this role do so."""

    @abstractmethod
    def lost(self, error: BaseException) -> bool:
        """Whether the connection is gone with it."""
