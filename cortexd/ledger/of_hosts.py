"""The ledger where each machine has users of its own: what it keeps of a uid also says of which machine that is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from cortexd.domain.learned import Cell, Key, Reported, Teach
from cortexd.domain.outcomes import Outcome
from cortexd.domain.own_cap import OwnCap
from cortexd.domain.people import host_of, person, uid_of
from cortexd.errors import LedgerUnavailable
from cortexd.ledger.keeping.hosts import NOT_KNOWN
from cortexd.ledger.ledger import Ledger
from cortexd.ledger.records import (
    BudgetState,
    Judged,
    Limit,
    LimitOverride,
    NewRequest,
    Spent,
    Stats,
    StoredRequest,
    UsageQuery,
    UsageRow,
)

_NO_LABELS: Mapping[str, str] = {}


class LedgerOfHosts(Ledger):
    """A ledger to whose caller uids are this machine's, and which sees no other machine's people but in reports."""

    def _person(self, uid: int) -> int:
        if self._store.host == NOT_KNOWN:
            raise LedgerUnavailable("The ledger has been away since cortexd began. Try again when it is back.")
        return person(uid, self._store.host)

    def _whose(self, request: NewRequest) -> NewRequest:
        return replace(request, uid=self._person(request.uid))

    def _limits(self, limits: Iterable[Limit]) -> list[Limit]:
        return [
            limit if limit.uids is None else replace(limit, uids=frozenset(map(self._person, limit.uids)))
            for limit in limits
        ]

    def _own(self, by_person: Mapping[int, Any]) -> dict[int, Any]:
        return {uid_of(one): value for one, value in by_person.items() if host_of(one) == self._store.host}

    async def reserve(self, request: NewRequest, worst_case_nano: int, limits: Sequence[Limit] = ()) -> int:
        return await super().reserve(self._whose(request), worst_case_nano, self._limits(limits))

    def reserve_here(self, request: NewRequest) -> int:
        """Whose it is, is said where it is booked: this machine may have no number yet."""
        return super().reserve_here(request)

    def reserving(self, request: NewRequest, worst_case_nano: int, limits: Sequence[Limit] = ()) -> asyncio.Future[int]:
        return super().reserving(self._whose(request), worst_case_nano, self._limits(limits))

    async def budgets(self, limits: Sequence[Limit], uid: int | None = None) -> list[BudgetState]:
        return await super().budgets(self._limits(limits), None if uid is None else self._person(uid))

    async def find(self, uid: int, request_id: str) -> StoredRequest | None:
        return await super().find(self._person(uid), request_id)

    async def stats(self, uid: int | None) -> Stats:
        return await super().stats(None if uid is None else self._person(uid))

    async def spent(self, uid: int) -> Spent:
        return await super().spent(self._person(uid))

    async def reset_stats(self, uid: int) -> None:
        await super().reset_stats(self._person(uid))

    async def usage(self, query: UsageQuery) -> list[UsageRow]:
        """By uid it is by machine as well."""
        groups = (*query.group_by, "host") if "uid" in query.group_by else query.group_by
        uid = None if query.uid is None else self._person(query.uid)
        return await super().usage(replace(query, uid=uid, group_by=groups))

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
        whose = self._person(uid)
        return await super().report_outcome(whose, request_id, source, outcome, teach, reason=reason, labels=labels)

    async def told(self, uid: int, request_id: str = "") -> tuple[StoredRequest, list[tuple[str, Outcome]]] | None:
        return await super().told(self._person(uid), request_id)

    async def judged(
        self, since: datetime, until: datetime, most: int, *, uid: int | None = None, task_type: str | None = None
    ) -> list[Judged]:
        whose = None if uid is None else self._person(uid)
        return await super().judged(since, until, most, uid=whose, task_type=task_type)

    async def owners(self) -> dict[int, str]:
        return self._own(await super().owners())

    async def note_owner(self, uid: int, user: str) -> None:
        await super().note_owner(self._person(uid), user)

    async def take_over(self, uid: int, user: str) -> None:
        await super().take_over(self._person(uid), user)

    async def preferences(self, uid: int) -> Mapping[str, Any]:
        return await super().preferences(self._person(uid))

    async def set_preferences(self, uid: int, wishes: Mapping[str, Any]) -> None:
        await super().set_preferences(self._person(uid), wishes)

    async def set_budget(self, scope: str, name: str, override: LimitOverride | None, by_uid: int) -> None:
        await super().set_budget(scope, name, override, self._person(by_uid))

    async def own_caps(self) -> dict[int, OwnCap]:
        return self._own(await super().own_caps())

    async def set_own_cap(self, uid: int, cap: OwnCap | None) -> None:
        await super().set_own_cap(self._person(uid), cap)
