"""What the ledger keeps of how well models serve: their answers, what was said of them, and what that taught."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cortexd.domain.answered import Answered
from cortexd.domain.learned import Cell, Key, Learned, Reported, Teach
from cortexd.domain.outcomes import Outcome
from cortexd.ledger import reading, writing
from cortexd.ledger.reading import at_start
from cortexd.ledger.records import Judged, StoredRequest
from cortexd.ledger.writing.actions import Action, Change

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from cortexd.ledger.reading.readers import Readers

_NO_LABELS: Mapping[str, str] = {}


class Experience(ABC):
    """A part of Ledger."""

    _readers: Readers

    @abstractmethod
    async def _write(self, action: Action) -> Any:
        """As Ledger's."""

    async def answered(self, since: datetime, until: datetime) -> list[Answered]:
        """The last answers of each model for each task type, to requests begun since then and before `until` (aware),
        oldest first; of the newest requests alone."""
        return await self._readers.read_plain(lambda rows: at_start.answered(rows, since, until))

    async def reported(self, until: datetime) -> list[Reported]:
        """Outcomes that were reported before `until` (aware) of the newest requests, as far as those were answered,
        each request's at its last report, oldest first."""
        return await self._readers.read(lambda connection: reading.reported.read(connection, until))

    async def report_outcome(
        self,
        uid: int,
        request_id: str,
        source: str,
        outcome: Outcome,
        teach: Teach,
        *,
        reason: str = "",
        labels: Mapping[str, str] = _NO_LABELS,
    ) -> tuple[Reported, Mapping[Key, Cell]]:
        """Keep how well a request of `uid` went, 0 to 1, by the word of `source`; a later report of that replaces an
        earlier one. What `teach` makes of it is kept in the same transaction, and given back.

        `teach` runs in the writer's thread. Raises RequestNotFound where the ledger does not hold the request, or no
        longer.
        """

        def keep(connection: Connection) -> tuple[Reported, Mapping[Key, Cell]]:
            return writing.outcomes.keep(connection, uid, request_id, source, outcome, reason, labels, teach)

        kept: tuple[Reported, Mapping[Key, Cell]] = await self._write(Change(keep))
        return kept

    async def told(self, uid: int, request_id: str = "") -> tuple[StoredRequest, list[tuple[str, Outcome]]] | None:
        """A request of `uid` and what each source said of it; without an id the last that was answered. None: none."""

        def read(connection: Connection) -> tuple[StoredRequest, list[tuple[str, Outcome]]] | None:
            name = (uid, request_id or reading.queries.last_answered(connection, uid))
            found = reading.queries.find(connection, [name]).get(name)
            return None if found is None else (found, writing.outcomes.of_request(connection, found.key))

        return await self._readers.read(read)

    async def learned(self) -> Learned:
        """What outcomes and decisions up to now have taught."""
        return await self._readers.read_plain(at_start.learned)

    async def replace_learned(self, learned: Learned) -> None:
        """Forget what was learned, and know this."""
        await self._write(Change(lambda connection: writing.learned.replace(connection, learned)))

    async def change_learned(self, change: Callable[[Learned], Learned]) -> Learned:
        """Put what `change` makes of all that was learned in its place, and give it. It runs in the writer's thread."""

        def make(connection: Connection) -> Learned:
            from cortexd.ledger.engines.driver import rows_of

            writing.learned.alone(connection)
            changed = change(at_start.learned(rows_of(connection)))
            writing.learned.replace(connection, changed)
            return changed

        changed: Learned = await self._write(Change(make))
        return changed

    async def drop_learned(self, before: datetime) -> list[Key]:
        """Let go of cells that no outcome has changed since then (aware); which they were."""
        gone: list[Key] = await self._write(Change(lambda connection: writing.learned.drop_old(connection, before)))
        return gone

    async def judged(
        self, since: datetime, until: datetime, most: int, *, uid: int | None = None, task_type: str | None = None
    ) -> list[Judged]:
        """Settled requests that were begun since then and before `until` (aware) and of which the learner decided or
        was watched, oldest first; of too many the newest `most`. `uid`: of that user alone."""
        return await self._readers.read(
            lambda connection: reading.learned.judged(connection, since, until, most, uid, task_type)
        )
