"""What several daemons on one ledger need of its database: locks, a common clock, and what became of a transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

Asked = tuple[str, Mapping[str, Any]]  # a statement in the driver's words, and its values


class Sharing(ABC):
    """Like an Engine it holds nothing. A database that only one daemon writes at a time has none."""

    @abstractmethod
    def enter(self, connection: Connection, alone: bool) -> None:
        """Begin a writing transaction's work: it ends within a bound, and no other writes meanwhile if it is `alone`.

        Whoever is alone sees every entry below the newest: none of a lower number comes later.
        """

    @abstractmethod
    def entering(self, alone: bool) -> Asked:
        """`enter`, to be asked; its last value is the mark."""

    @abstractmethod
    def taking(self, names: Iterable[str]) -> Asked:
        """Hold the locks of these names until the transaction ends; all take them in the same order."""

    @abstractmethod
    def ask(self, connection: Connection, asked: Sequence[Asked]) -> list[list[tuple[Any, ...]]]:
        """What each of these gives, one after another in the open transaction, in one round trip."""

    @abstractmethod
    def at_once(self, connection: Connection) -> AbstractContextManager[None]:
        """What `send` is given meanwhile, and a commit, go in one round trip: what failed of it is raised by the
        commit, or in the end. Nothing can be read."""

    @abstractmethod
    def now(self, connection: Connection) -> datetime:
        """The time by the database's clock, aware."""

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
