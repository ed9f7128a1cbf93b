"""What one of several writers keeps in memory: its open reservations. Sums are the database's, read anew each time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from cortexd.ledger.keeping.schema import KEYS_AT_ONCE, request_keys
from cortexd.ledger.records import Limit, Totals, Whose
from cortexd.ledger.writing.actions import Action, Book, ReadBooks, Reserve, ReserveMore, Settle
from cortexd.ledger.writing.books import Books
from cortexd.ledger.writing.rows import day_of
from cortexd.ledger.writing.shared_sums import SharedSums, Wanted, lock_name, wanted_by
from cortexd.ledger.writing.tallies import Tally


@dataclass(slots=True)
class Concerned:
    """What a group of actions goes by: `locks` of limits, and sums."""

    locks: set[str] = field(default_factory=set)
    sums: set[Wanted] = field(default_factory=set)

    def by_limits(self, limits: Sequence[Limit], day: str, uid: int | None, *, bound: bool) -> None:
        """`uid`: whose own part is looked at as well; `bound`: nobody else may move these limits meanwhile."""
        self.sums.update(wanted_by(limit, day) for limit in limits)
        if uid is not None:
            self.sums.update((frozenset((uid,)), period) for period in (day, day[:7]))
        if bound:
            self.locks.update(lock_name(limit.whose) for limit in limits)


class SharedBooks(Books):
    """`totals` are of all machines, as of the last look, and this one's after that."""

    def __init__(self, sums: SharedSums, totals: Totals) -> None:
        super().__init__(totals)
        self._sums = sums
        self._free_keys: deque[int] = deque()

    def new_key(self) -> int:
        return self._free_keys.popleft()

    def has_keys(self, wanted: int) -> bool:
        return len(self._free_keys) >= wanted

    def forget_keys(self) -> None:
        """Others may have been given the same by now."""
        self._free_keys.clear()

    def have_keys(self, connection: Connection, wanted: int) -> None:
        """So many requests can be given a key; in the open transaction."""
        while len(self._free_keys) < wanted:
            first = connection.scalar(request_keys)
            following = range(first, first + KEYS_AT_ONCE)  # some once more where the database was restored
            self._free_keys.extend(key for key in following if key not in self.held)

    def committed(self, connection: Connection, whose: Whose, period: str) -> Tally:
        return self._sums.tally(connection, whose, period)

    def concerned(self, actions: Iterable[Action]) -> Concerned:
        found = Concerned()
        for limits, day, uid, bound in self._looks(actions):
            found.by_limits(limits, day, uid, bound=bound)
        return found

    def _looks(self, actions: Iterable[Action]) -> Iterator[tuple[Sequence[Limit], str, int | None, bool]]:
        for action in actions:
            match action:
                case Reserve() if action.limits and action.nano:
                    yield action.limits, day_of(action.request), action.request.uid, True
                case ReserveMore() | Settle() if held := self.held.get(action.key):
                    yield held.limits, held.day, held.uid, True
                case Book():
                    yield (), day_of(action.request), action.request.uid, False
                case ReadBooks():
                    yield action.limits, action.day, action.uid, False
