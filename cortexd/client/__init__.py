"""The Python client of cortexd: ask the machine's language models over D-Bus, without owning a key.

    from cortexd.client import Client

    with Client() as client:
        print(client.ask("Why is the sky blue?"))

Client is for threads, AsyncClient for asyncio; both have the same methods, and one of either serves many
callers at once. Standard library and dbus-next only. Every failure is one of cortexd.errors.
"""

from cortexd.client.asynchronous import AsyncClient
from cortexd.client.link import DEFAULT_TIMEOUT_S
from cortexd.client.results import (
    Attempt,
    Candidate,
    Completion,
    CostEvent,
    Decision,
    LeftOut,
    Properties,
    ProviderInfo,
    ProviderStats,
    ServiceChange,
    Snapshot,
    Stats,
    Tokens,
)
from cortexd.client.subscription import Subscription
from cortexd.client.synchronous import Client, SyncSubscription

__all__ = [
    "DEFAULT_TIMEOUT_S",
    "AsyncClient",
    "Attempt",
    "Candidate",
    "Client",
    "Completion",
    "CostEvent",
    "Decision",
    "LeftOut",
    "Properties",
    "ProviderInfo",
    "ProviderStats",
    "ServiceChange",
    "Snapshot",
    "Stats",
    "Subscription",
    "SyncSubscription",
    "Tokens",
]
