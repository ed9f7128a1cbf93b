"""After a start: what the ledger's newest requests tell of models, so that predictions survive it, and what outcomes
have taught."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime, timedelta

from cortexd.errors import LedgerUnavailable
from cortexd.ledger import Ledger
from cortexd.routing import Learner, Observed
from cortexd.routing.observed import KNOWN_S

log = logging.getLogger("cortexd.recollection")

_SHARE_S = 60.0  # at most until an outcome that was reported on another machine counts here; fleet.md states it
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


async def share(ledger: Ledger, learner: Learner, every_s: float = _SHARE_S) -> None:
    """Until cancelled, where machines share the ledger: know what the others have learned, too."""
    while ledger.fleet.shared:
        await asyncio.sleep(random.uniform(every_s / 2, every_s))  # noqa: S311 - not all at the same time
        try:
            learned = await ledger.learned()
        except LedgerUnavailable as error:
            log.debug("what others have learned cannot be read: %s", error)
        else:
            if learned.begun:
                learner.adopt(learned)


async def relearn(ledger: Ledger) -> Learner:
    """What was learned before now; of a ledger that has kept nothing yet what its outcomes say. Raises nothing: without
    it learning begins anew."""
    learner = Learner()
    try:
        learned = await ledger.learned()
        if learned.begun:
            learner.adopt(learned)
            return learner
        for one in await ledger.reported(datetime.now(UTC)):
            if one.now.weight:
                learner.recall(one.task_type, one.target, one.now)
        await ledger.replace_learned(learner.learned)
    except LedgerUnavailable as error:
        log.warning("learning from outcomes begins anew: %s", error)
        return Learner()
    return learner
