"""The Python client of cortexd: ask the machine's language models over D-Bus, without owning a key.

    from cortexd.client import Client

    with Client() as client:
        print(client.ask("Why is the sky blue?"))

Client is for threads, AsyncClient for asyncio; both have the same methods, and one of either serves many
callers at once. Standard library and dbus-next only. Every failure is one of cortexd.errors.
"""

from cortexd.client.administration import Preferences, Verification
from cortexd.client.asynchronous import AsyncClient
from cortexd.client.figures import (
    BudgetInfo,
    BudgetThreshold,
    CostEvent,
    PeriodStarted,
    ProviderStats,
    ServiceChange,
    Snapshot,
    Stats,
    UsageRow,
)
from cortexd.client.holds import BudgetHeld, Hold, HoldEnded
from cortexd.client.iterators import SyncRawStream, SyncStream, SyncSubscription
from cortexd.client.learned import Learned, LearnedCell
from cortexd.client.learning import Interval, LearnedModel, LearnedTask, LearningReport, Outlook
from cortexd.client.link import DEFAULT_TIMEOUT_S
from cortexd.client.outgoing import Messages
from cortexd.client.raw import BytesEvent, HeadEvent, RawAnswer, RawEvent, RawStream
from cortexd.client.results import (
    Attempt,
    Candidate,
    Completion,
    Decision,
    Learning,
    LeftOut,
    OutcomeInfo,
    Properties,
    ProviderInfo,
    ReplicaInfo,
    RequestInfo,
    RequestRecord,
    Tokens,
)
from cortexd.client.stream_events import ContinueEvent, DoneEvent, FallbackEvent, StreamEvent, TextEvent, ToolCallEvent
from cortexd.client.streams import Stream
from cortexd.client.subscription import Event, Subscription
from cortexd.client.synchronous import Client

__all__ = [
    "DEFAULT_TIMEOUT_S",
    "AsyncClient",
    "Attempt",
    "BudgetHeld",
    "BudgetInfo",
    "BudgetThreshold",
    "BytesEvent",
    "Candidate",
    "Client",
    "Completion",
    "ContinueEvent",
    "CostEvent",
    "Decision",
    "DoneEvent",
    "Event",
    "FallbackEvent",
    "HeadEvent",
    "Hold",
    "HoldEnded",
    "Interval",
    "Learned",
    "LearnedCell",
    "LearnedModel",
    "LearnedTask",
    "Learning",
    "LearningReport",
    "LeftOut",
    "Messages",
    "OutcomeInfo",
    "Outlook",
    "PeriodStarted",
    "Preferences",
    "Properties",
    "ProviderInfo",
    "ProviderStats",
    "RawAnswer",
    "RawEvent",
    "RawStream",
    "ReplicaInfo",
    "RequestInfo",
    "RequestRecord",
    "ServiceChange",
    "Snapshot",
    "Stats",
    "Stream",
    "StreamEvent",
    "Subscription",
    "SyncRawStream",
    "SyncStream",
    "SyncSubscription",
    "TextEvent",
    "Tokens",
    "ToolCallEvent",
    "UsageRow",
    "Verification",
]
