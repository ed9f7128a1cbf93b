"""The ledger: what each request reserved and cost, durable before the caller hears of it, exact to the nano-dollar."""

from cortexd.ledger.ledger import Ledger
from cortexd.ledger.records import (
    AttemptRecord,
    DuplicateRequest,
    NewRequest,
    ProviderStats,
    Settled,
    Spent,
    State,
    Stats,
    StoredRequest,
    Totals,
)

__all__ = [
    "AttemptRecord",
    "DuplicateRequest",
    "Ledger",
    "NewRequest",
    "ProviderStats",
    "Settled",
    "Spent",
    "State",
    "Stats",
    "StoredRequest",
    "Totals",
]
