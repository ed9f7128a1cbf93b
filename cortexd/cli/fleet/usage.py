"""What the machines of a ledger used and cost, read from the ledger itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from cortexd.cli.shown.usage_report import GROUPS

if TYPE_CHECKING:
    from cortexd.client import UsageRow
    from cortexd.config.settings import LedgerSettings

_FIGURES = ("requests", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost_known")


def usage_of(ledger: LedgerSettings, by: Sequence[str], days: int) -> list[UsageRow]:
    """Of everybody in the last so many days, today included. Raises AccessDenied, LedgerUnavailable, TooLarge."""
    from cortexd.client import UsageRow
    from cortexd.config.zone import adopt_zone
    from cortexd.domain.money import to_usd
    from cortexd.ledger.reading import fleet
    from cortexd.ledger.records import UsageQuery

    adopt_zone(ledger.time_zone)
    today = fleet.today(ledger)
    query = UsageQuery(None, today - timedelta(days=days - 1), today, tuple(GROUPS[name] for name in by))
    rows = []
    for row in fleet.usage(ledger, query):
        figures = {name: getattr(row, name) for name in _FIGURES} | {"cost_nano_usd": row.cost_nano}
        raw = {**row.keys, **figures}
        rows.append(UsageRow(**raw, cost_usd=to_usd(row.cost_nano), raw=raw))
    return rows
