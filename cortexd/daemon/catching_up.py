"""A daemon may begin while the ledger that it shares is away: what that keeps of users is read when it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cortexd.domain.own_cap import OwnCap
from cortexd.errors import LedgerUnavailable
from cortexd.ledger import Ledger, LimitOverride

log = logging.getLogger("cortexd.daemon")

_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Known:
    """What stands in the ledger of users and their limits."""

    owners: Mapping[int, str] = field(default_factory=dict)
    overrides: Mapping[Any, LimitOverride] = field(default_factory=dict)
    own_caps: Mapping[int, OwnCap] = field(default_factory=dict)


async def known(ledger: Ledger) -> Known:
    """All of it; nothing where a shared ledger is away, and nothing is paid for then. Raises LedgerUnavailable."""
    try:
        return Known(await ledger.owners(), await ledger.budget_overrides(), await ledger.own_caps())
    except LedgerUnavailable as error:
        if not ledger.fleet.shared:
            raise
        ledger.caught_up = False
        log.warning("until the ledger is read only local models that cost nothing are asked: %s", error)
        return Known()


async def catch_up(ledger: Ledger, readings: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Once the ledger is back, let each of these read what it needs; from then on requests are paid for."""
    readings = tuple(readings)
    while not ledger.caught_up:
        await ledger.back()
        try:
            for read in readings:
                await read()
        except LedgerUnavailable:
            await asyncio.sleep(_PAUSE_S)
        else:
            ledger.caught_up = True
            log.warning("the ledger is read; requests are paid for again")
