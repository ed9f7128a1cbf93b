"""This user's spending as it changes, by signals alone: nothing is asked while nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cortexd.cli.panels.spending import PAUSE, Spending, State, left_of, state_of, used_of
from cortexd.cli.shown import failures
from cortexd.cli.shown.failures import local_time
from cortexd.cli.shown.holds import HOW_TO_ANSWER, question
from cortexd.cli.talking.questions import open_holds
from cortexd.domain.apps import APP
from cortexd.errors import CortexError, ServiceUnavailable

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, BudgetInfo, Event, Hold, Snapshot, Subscription

_AT_MOST_EVERY_S = 0.25
_NO_KEY = "No provider has a key yet: sudo cortexctl credentials set NAME"


class Following:
    """Tells `show` of each change, at most four a second, and of the last one always. Never starts the service."""

    def __init__(self, client: AsyncClient, bus: str, show: Callable[[Spending], None]) -> None:
        self._client = client
        self._bus = bus
        self._show = show
        self._shown: Spending | None = None
        self._known = Spending()
        self._hold: Hold | None = None
        self._changed = asyncio.Event()

    async def follow(self) -> None:
        """Until it is cancelled. Raises ServiceUnavailable where there is no bus."""
        self._tell(self._known)
        async with self._client.subscribe() as costs:
            if costs.running:
                self._stands(costs.snapshot)
            self._hold = next(iter(await open_holds(self._client)), None)
            hearing = asyncio.create_task(self._hear(costs))
            try:
                while not hearing.done():
                    self._tell(await self._now(costs))
                    await asyncio.sleep(_AT_MOST_EVERY_S)
                    await self._changed.wait()
                    self._changed.clear()
            finally:
                hearing.cancel()
            await hearing

    async def _hear(self, costs: Subscription) -> None:
        try:
            async for event in costs.events():
                self._heard(event)
        finally:
            self._changed.set()

    def _heard(self, event: Event) -> None:
        from cortexd.client import BudgetHeld, CostEvent, HoldEnded, PeriodStarted, ServiceChange, Snapshot

        if isinstance(event, CostEvent):
            self._known = replace(self._known, day_usd=event.day_usd, month_usd=event.month_usd)
        elif isinstance(event, PeriodStarted):
            month = 0.0 if event.period == "month" else self._known.month_usd
            self._known = replace(self._known, day_usd=0.0, month_usd=month)
        elif isinstance(event, BudgetHeld):
            self._hold = event.hold
        elif isinstance(event, HoldEnded | ServiceChange):
            self._hold = None  # with the service whatever it held has ended
        elif isinstance(event, Snapshot):
            self._stands(event)
        self._changed.set()

    def _stands(self, snapshot: Snapshot) -> None:
        self._known = replace(self._known, day_usd=snapshot.day_usd, month_usd=snapshot.month_usd)

    def _tell(self, spending: Spending) -> None:
        if spending != self._shown:
            self._shown = spending
            self._show(spending)

    async def _now(self, costs: Subscription) -> Spending:
        if not costs.running:
            return await self._stale()
        try:
            return await self._of_service()
        except ServiceUnavailable:  # it has left meanwhile, and events() will say so
            return await self._stale()
        except CortexError as error:
            return replace(self._known, state=State.ERROR, next_step=failures.in_words(error))

    async def _of_service(self) -> Spending:
        budgets = [item for item in await self._client.budgets() if item.scope != APP]
        known = replace(self._known, left=left_of(budgets), used=used_of(budgets), next_step="")
        if not any(item.configured for item in await self._client.providers()):
            return replace(known, state=State.UNCONFIGURED, next_step=_NO_KEY)
        stats = await self._client.stats()
        if not stats.ledger_writable:
            return replace(known, state=State.ERROR, next_step="The ledger cannot be written: cortexctl status")
        if stats.settings_missing:
            return replace(known, state=State.ERROR, next_step="The fleet's settings are missing: cortexctl status")
        if self._hold is not None:
            return replace(known, state=State.HELD, next_step=f"{question(self._hold)} Answer: {HOW_TO_ANSWER}")
        if known.day_usd is None:  # the service is just back: its figures are on their way
            return replace(known, state=State.LOADING)
        return replace(known, state=state_of(budgets), next_step=_paused(budgets))

    async def _stale(self) -> Spending:
        figures = "" if self._known.day_usd is None else " The figures are from before."
        away = ServiceUnavailable(f"cortexd is not running.{figures}", cause="absent")
        words = await asyncio.to_thread(failures.told, away, self._bus)
        return replace(self._known, state=State.STALE, left=None, used=None, next_step=words)


def _paused(budgets: Sequence[BudgetInfo]) -> str:
    """What to do about a pause of the own spending, where there is one."""
    until = next((local_time(item.resets_at) for item in budgets if item.scope == PAUSE), "")
    return f"You have paused your spending until {until}. To end that: cortexctl budget resume" if until else ""
