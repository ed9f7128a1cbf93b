"""What several daemons on one ledger need of its database: locks, a common clock, and what became of a transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

if TYPE_CHECKING:
    from cortexd.ledger.engines.driver import Sending

Asked = tuple[str, Mapping[str, Any]]  # a statement in the driver's words, and its values
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Look:
    """A sum to be seen: of these uids, that period and program. The rest is the most that may be there, `used` being
    what is spent and reserved together; None for any."""

    uids: Sequence[int]
    period: str
    app: str
    most_used: int | None = None
    most_spent: int | None = None
    most_reserved: int | None = None
    most_unknown: int | None = None


@dataclass(frozen=True, slots=True)
class Adding:
    """What a transaction adds to the sums that `machine` keeps, once it has looked, under the locks of these names:
    alone, or where it is True together with others who take it so. `then`: what else it adds up, which others may add
    to as well and so comes after the locks."""

    rows: Rows
    machine: str
    locks: Mapping[str, bool]
    looks: Sequence[Look]
    then: Sequence[tuple[Sending, Rows]] = ()


class Otherwise(Exception):
    """The ledger is not as the transaction's plan took it to be; nothing was written."""


class Sharing(ABC):
    """Like an Engine it holds nothing. A database that only one daemon writes at a time has none."""

    @abstractmethod
    def enter(self, connection: Connection, alone: bool) -> None:
        """Begin a writing transaction's work: it ends within a bound, and no other writes meanwhile if it is `alone`.

        Whoever is alone sees every entry below the newest: none of a lower number comes later.
        """

    @abstractmethod
    def take_time(self, connection: Connection) -> None:
        """Until `enter` no statement of the open transaction is bounded: it waits for nobody, and is long."""

    @abstractmethod
    def make_routines(self, connection: Connection) -> None:
        """What `write` needs in the database."""

    @abstractmethod
    def write(
        self, connection: Connection, parts: Sequence[tuple[Sending, Rows]], added: Adding
    ) -> list[tuple[int, int, int]]:
        """A transaction of its own, in one round trip: each row of `parts`, and then what is added to the sums.

        Gives for each look what was spent, reserved and unknown before. Raises Otherwise where a sum is larger than
        it may be, or where a statement concerned another number of rows than it was given.
        """

    @abstractmethod
    def entering(self, alone: bool) -> list[Asked]:
        """`enter`, to be asked; the last value of the first is the mark."""

    @abstractmethod
    def most_at_once(self, connection: Connection) -> int:
        """So many transactions at most are under way in the database."""

    @abstractmethod
    def session(self, connection: Connection) -> Any:
        """By which `end_session` knows the connection's other end."""

    @abstractmethod
    def end_session(self, connection: Connection, session: Any) -> None:
        """See that nothing comes of what was sent there and not answered, if it is there still."""

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
