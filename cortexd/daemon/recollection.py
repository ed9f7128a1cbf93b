"""After a start: what the ledger's newest requests tell of models, so that predictions survive it."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from cortexd.errors import LedgerUnavailable
from cortexd.ledger import Ledger
from cortexd.routing import Observed
from cortexd.routing.observed import KNOWN_S

log = logging.getLogger("cortexd.recollection")

_AT_ONCE = 100  # answers, well under a millisecond; then others have a turn


async def recollect(ledger: Ledger, observed: Observed) -> None:
    """Learn from answers to requests begun before now. Raises nothing: without them predictions begin anew."""
    now = datetime.now(UTC)
    try:
        found = await ledger.answered(now - timedelta(seconds=KNOWN_S), now)
    except LedgerUnavailable as error:
        log.warning("predictions begin anew: %s", error)
        return
    for number, one in enumerate(found, 1):
        observed.answered(one)
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
