"""Requests of several users before an Admission: each waits in a task of its own, and leaves when it is told to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Self

from cortexd.access import Admission, Place
from cortexd.config.settings import LimitSettings
from cortexd.errors import RateLimited

USERS = (1, 2, 3, 4)
# "and" is within one turn of the loop: the place is on its way when the waiter is cancelled, or the other way round.
STEPS = ("ask", "ask", "ask", "leave", "cancel", "leave and cancel", "cancel and leave", "limit machine", "limit user")


@dataclass(frozen=True, slots=True)
class Waiting:
    number: int
    uid: int
    task: asyncio.Task[Place]


@dataclass(frozen=True, slots=True)
class Held:
    number: int
    uid: int
    place: Place


class Crowd:
    """`let_in`: the users in the order in which their requests came in. `places`: those held now, oldest first.
    `refused`: the users whose requests were turned away."""

    def __init__(self, **limits: int) -> None:
        self.admission = Admission(LimitSettings(**limits))
        self.waiting: list[Waiting] = []
        self.places: list[Held] = []
        self.let_in: list[int] = []
        self.refused: list[int] = []
        self._asked = 0
        self._highest = self.admission.limits

    @classmethod
    def under(cls, admission: Admission) -> Self:
        crowd = cls()
        crowd.admission = admission
        return crowd

    async def ask(self, *uids: int) -> None:
        for uid in uids:
            self.waiting.append(Waiting(self._asked, uid, asyncio.create_task(self.admission.enter(uid))))
            self._asked += 1
        await self.settle()

    async def leave(self, uid: int) -> None:
        """The oldest of `uid`'s places."""
        self._leave(next(held for held in self.places if held.uid == uid))
        await self.settle()

    async def cancel(self, index: int) -> None:
        self.waiting[index].task.cancel()
        await self.settle()

    async def limit(self, **limits: int) -> None:
        self.admission.limits = replace(self.admission.limits, **limits)
        await self.settle()

    async def step(self, step: str, number: int) -> None:
        """One of STEPS; `number` picks the user, the request or the limit."""
        for part in step.split(" and "):
            if part == "ask":
                uid = USERS[number % len(USERS)]
                self.waiting.append(Waiting(self._asked, uid, asyncio.create_task(self.admission.enter(uid))))
                self._asked += 1
            elif part == "leave" and self.places:
                self._leave(self.places[number % len(self.places)])
            elif part == "cancel" and self.waiting:
                self.waiting[number % len(self.waiting)].task.cancel()
            elif part.startswith("limit"):
                self._limit(part, number % 4 + 1)
        await self.settle()

    def _limit(self, part: str, number: int) -> None:
        name = {"limit machine": "max_active_requests", "limit user": "max_active_requests_per_user"}[part]
        self.admission.limits = replace(self.admission.limits, **{name: number})
        self._highest = replace(self._highest, **{name: max(number, getattr(self._highest, name))})

    async def settle(self) -> None:
        """Let every task go as far as it can."""
        for _ in range(3):
            await asyncio.sleep(0)
        for waiting in [waiting for waiting in self.waiting if waiting.task.done()]:
            self.waiting.remove(waiting)
            if waiting.task.cancelled():
                continue
            if isinstance(waiting.task.exception(), RateLimited):
                self.refused.append(waiting.uid)
            else:
                self.places.append(Held(waiting.number, waiting.uid, waiting.task.result()))
                self.let_in.append(waiting.uid)

    async def disperse(self) -> None:
        """Everybody leaves as soon as it is in, until nobody is left."""
        while self.places:
            while self.places:
                self._leave(self.places[0])
            await self.settle()
        assert not self.waiting, "places are free and somebody waits"

    def users_in_need(self) -> set[int]:
        """Those that wait and may have another place."""
        most = self.admission.limits.max_active_requests_per_user
        return {waiting.uid for waiting in self.waiting if self.admission.active(waiting.uid) < most}

    def assert_within_bounds(self) -> None:
        """Also that what it counts is what there is, and that nobody waits for a place that is free."""
        active = {uid: sum(held.uid == uid for held in self.places) for uid in USERS}
        assert active == {uid: self.admission.active(uid) for uid in USERS}
        assert max(active.values()) <= self._highest.max_active_requests_per_user
        assert sum(active.values()) <= self._highest.max_active_requests
        assert self.admission.waiting == len(self.waiting) <= self.admission.limits.max_queued_requests
        for uid in USERS:
            assert self.admission.queued(uid) == sum(waiting.uid == uid for waiting in self.waiting)
        if sum(active.values()) < self.admission.limits.max_active_requests:
            assert not self.users_in_need()

    def _leave(self, held: Held) -> None:
        self.places.remove(held)
        held.place.free()
