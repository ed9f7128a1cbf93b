"""What the daemon does by the clock: it tells of new days and months, and prunes old requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta

from cortexd.config.settings import LedgerSettings
from cortexd.domain.learned import Key
from cortexd.errors import LedgerUnavailable
from cortexd.ledger import Ledger, Period

log = logging.getLogger("cortexd.housekeeping")

_LOOK_S = 30.0  # at the clock: also after it was set, or the machine slept


class Housekeeping:
    """`settings` gives the ledger's settings of now; `tell` hears of each period that begins, `unlearn` of what was
    learned so long ago that the ledger has let go of it."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Callable[[], LedgerSettings],
        tell: Callable[[Period], None],
        today: Callable[[], date] = lambda: datetime.now().astimezone().date(),
        look_s: float = _LOOK_S,
        unlearn: Callable[[Iterable[Key]], None] = lambda _keys: None,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._tell = tell
        self._today = today
        self._look_s = look_s
        self._unlearn = unlearn

    async def run(self) -> None:
        """Until cancelled. Prunes once a day, for the first time a while after the start, which has enough to do."""
        async with asyncio.TaskGroup() as beside:
            await self._watch(beside)

    async def _watch(self, beside: asyncio.TaskGroup) -> None:
        day = self._today()
        pruning: asyncio.Task[None] | None = None
        pruned = date.min
        while True:
            await asyncio.sleep(self._look_s)
            time.tzset()  # the machine may be in another time zone by now
            now = self._today()
            if now > day:
                self._tell(Period.DAY)
                if (now.year, now.month) != (day.year, day.month):
                    self._tell(Period.MONTH)
            day = now  # also where the clock was set back
            if pruned < day and (pruning is None or pruning.done()):
                pruning = beside.create_task(self._prune(day))  # which may take an hour
                pruned = day

    async def _prune(self, day: date) -> None:
        before = day - timedelta(days=self._settings().keep_days)
        midnight = datetime.combine(before, datetime.min.time()).astimezone()
        try:
            if not await self._ledger.anything_old(before, midnight):
                return
            pruned = await self._ledger.prune(before)
            self._unlearn(await self._ledger.drop_learned(midnight))
            await self._ledger.fleet.forget_hosts(midnight)
        except LedgerUnavailable as error:
            log.error("old requests could not be pruned: %s", error)
            return
        if pruned.requests:
            log.info("%d requests from before %s are kept as daily sums now", pruned.requests, before)
