"""What learning would give, out of the ledger: read there, judged in a thread, one report at a time."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cortexd.accounts.accounts import Accounts
from cortexd.authority import Caller
from cortexd.catalog import Catalog
from cortexd.config import Config
from cortexd.routing import Learner
from cortexd.routing.strategies.learned import rules_of
from cortexd.validation import LearningWish

if TYPE_CHECKING:
    from cortexd.routing.learned.foresight import Report

_MOST_REQUESTS = 10_000  # the newest


class LearningReports:
    """Reports on what was decided and answered, for one caller or of all."""

    def __init__(self, accounts: Accounts, learner: Learner) -> None:
        self._accounts = accounts
        self._learner = learner
        self._one = asyncio.Lock()  # each takes a processor for a second

    async def of(self, caller: Caller, wish: LearningWish, config: Config, catalog: Catalog) -> Report:
        """Raises AccessDenied for what is others', and LedgerUnavailable."""
        until = datetime.now().astimezone()
        since = until - timedelta(days=wish.days)
        judged = await self._accounts.judged(caller, wish, since, until, _MOST_REQUESTS)
        from cortexd.requests import foreseen  # half a megabyte that few need

        to_report = foreseen.to_report(judged, self._learner, rules_of(config.routing.learned), catalog)
        async with self._one:
            return await asyncio.to_thread(foreseen.reported, *to_report)
