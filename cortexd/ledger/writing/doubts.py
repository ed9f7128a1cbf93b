"""Commits that were sent to a database and not answered: what became of them is found out before anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from cortexd.ledger.engines import Sharing
from cortexd.ledger.reading import queries
from cortexd.ledger.records import RequestState, Settled
from cortexd.ledger.writing.actions import Action, Reserve, Settle
from cortexd.ledger.writing.books import Closed
from cortexd.ledger.writing.commit_group import Planned
from cortexd.ledger.writing.store import Result


@dataclass(frozen=True, slots=True)
class _Doubt:
    """`committed` is asked in a transaction that is alone; `session` may still be at it."""

    actions: Sequence[Action]
    committed: Callable[[Connection], bool]
    results: Callable[[Connection], list[Result]]
    session: Any


class Doubts:
    """`late`: what was settled by a commit of which that was found out later; `orphans`: reserved so, for nobody."""

    def __init__(self, sharing: Sharing, instance: str) -> None:
        self.late: dict[int, Settled] = {}
        self.orphans: list[int] = []
        self._sharing = sharing
        self._instance = instance
        self._doubt: _Doubt | None = None

    @contextmanager
    def of(
        self,
        connection: Connection,
        actions: Sequence[Action],
        committed: Callable[[Connection], bool],
        results: Callable[[Connection], list[Result]],
    ) -> Iterator[None]:
        """A commit is sent meanwhile. The doubt ends with it, unless the connection does."""
        self._doubt = _Doubt(actions, committed, results, self._sharing.session(connection))
        try:
            yield
        except Exception as error:
            if not self._sharing.lost(error):
                self._doubt = None
            raise
        self._doubt = None

    def end(self, connection: Connection, actions: Sequence[Action]) -> list[Result] | None:
        """Find out. The results of `actions`, if it was they that were committed."""
        doubt = self._doubt
        if doubt is None:
            return None
        connection.begin()
        self._sharing.end_session(connection, doubt.session)
        self._sharing.enter(connection, alone=True)  # its transaction has ended then
        committed = doubt.committed(connection)
        connection.rollback()
        results = doubt.results(connection) if committed else None  # which may read, and lose the connection too
        self._doubt = None
        if results is None:
            return None
        if doubt.actions is actions:
            return results
        self._take_in(doubt.actions, results)
        return None

    def committed(
        self, after: Connection, actions: Sequence[Action], planned: Sequence[Planned], mark: str | None = None
    ) -> bool:
        """Whether a group of this daemon was. A database that was restored had others' transactions of that mark."""
        if mark is not None and not self._sharing.committed(after, mark):
            return False
        return _is_there(after, actions, planned, self._instance) is not False

    def forget(self) -> None:
        """The ledger is another: nothing of it can be found out there."""
        self._doubt = None
        self.orphans.clear()
        self.late.clear()

    def _take_in(self, actions: Sequence[Action], results: Sequence[Result]) -> None:
        """What a commit has done whose callers were told that it could not be."""
        for action, result in zip(actions, results, strict=True):
            if isinstance(action, Reserve) and isinstance(result, int):
                self.orphans.append(result)
            elif isinstance(action, Settle) and isinstance(result, Settled):
                self.late[action.key] = result


def _is_there(
    connection: Connection, actions: Sequence[Action], planned: Sequence[Planned], instance: str
) -> bool | None:
    """Whether the ledger has what a group of this daemon has done, of which either all is there or nothing; None where
    the group has begun and ended no request. A database that was restored may have given the key to others by now."""
    for action, result in zip(actions, planned, strict=True):
        if isinstance(action, Reserve) and isinstance(result, int):
            return _state(connection, result, instance) is not None  # whatever became of it
        if isinstance(action, Settle) and isinstance(result, Closed):  # others settle it as lost
            state = _state(connection, action.key, instance)
            return state not in (None, RequestState.LOST, RequestState.PENDING)
    return None


def _state(connection: Connection, key: int, instance: str) -> str | None:
    found = queries.states.rows(connection, keys=[key])
    return next((state for _, state, begun_by in found if begun_by == instance), None)
