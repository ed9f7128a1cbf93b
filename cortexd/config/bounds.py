"""The least and the most of every number that can be set, and why: the one table of them.

A value beyond its bounds would be a slip of the pen at best; at worst it overflows a date, a timer or a 64-bit column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from cortexd.config.outcomes import AutomaticSettings, SourceWeights
from cortexd.config.settings import (
    AuthorizationSettings,
    BudgetSettings,
    CacheSettings,
    DaemonSettings,
    LearnedSettings,
    LedgerSettings,
    LimitSettings,
    LimitUsd,
    ModelSettings,
    ProviderSettings,
    RateSettings,
    ReplicaSettings,
    Weights,
)
from cortexd.domain.outcomes import MOST_WEIGHT

_MIB = 1024 * 1024
_DAY_S = 86_400
_DAY_MS = 1000 * _DAY_S


@dataclass(frozen=True, slots=True)
class Bound:
    """Both ends are allowed. `why` says what lies beyond `most`."""

    least: float
    most: float
    why: str

    def holds(self, value: int | float | Decimal) -> bool:
        """False for NaN and infinities too."""
        return self.least <= value <= self.most

    def __str__(self) -> str:
        return f"from {_plain(self.least)} to {_plain(self.most)}"


def _plain(number: float) -> str:
    """As TOML takes it."""
    return f"{int(number):_}" if number == math.trunc(number) else f"{number:g}"


_OF_A_SCORE = "scores are from 0 to 1"
_WORSE = "each answer that is tried may be a worse one"
_NO_ATTEMPT = "no request may take longer than a day"
_DESCRIPTORS = "each takes a descriptor, of which the service has 8_192"
_MESSAGE = "one message of the bus carries 32 MiB"
_VALUES = "one message of the bus carries 100_000 values"
_MEMORY = "each is held in memory, of which the service has 1 GiB"
_DEADLINE = Bound(100, _DAY_MS, _NO_ATTEMPT)
_LIMIT_USD = Bound(0, 1_000_000_000, "the bus carries no larger amount")
_TOKENS = Bound(1, 100_000_000, "no model takes more")
_RATE_USD = Bound(0, 1_000_000, "no model costs more")
_IN_FLIGHT = Bound(1, 65_536, "leave it out for no limit")

BOUNDS: Mapping[type, Mapping[str, Bound]] = {
    ProviderSettings: {
        "timeout_s": Bound(0.1, _DAY_S, _NO_ATTEMPT),
        "first_token_timeout_s": Bound(0.1, _DAY_S, _NO_ATTEMPT),
        "connect_timeout_s": Bound(0.1, 600, "an endpoint that takes longer is not there"),
        "max_connections": Bound(1, 4_096, _DESCRIPTORS),
        "max_tokens": Bound(1, 1_000_000, "no model answers at greater length"),
        "max_tokens_per_s": Bound(1, 1_000_000, "no model answers faster"),
        "max_in_flight": _IN_FLIGHT,
        "max_queued": Bound(0, 65_536, _MEMORY),
        "queue_delay_s": Bound(0.1, 3_600, "nobody waits longer for a first word"),
    },
    ReplicaSettings: {
        "weight": Bound(0.001, 1_000, "what gets a thousandth gets next to nothing"),
        "max_in_flight": _IN_FLIGHT,
    },
    RateSettings: {
        "input_usd_per_million": _RATE_USD,
        "output_usd_per_million": _RATE_USD,
        "cache_read_usd_per_million": _RATE_USD,
        "cache_write_usd_per_million": _RATE_USD,
        "hour_write_usd_per_million": _RATE_USD,
    },
    ModelSettings: {
        "context_tokens": _TOKENS,
        "output_tokens": _TOKENS,
        "image_tokens": _TOKENS,
        "quality": Bound(0, 1, "1 is the best"),
    },
    Weights: {name: Bound(0, 100, "only their ratio counts") for name in ("cost", "latency", "quality")},
    LearnedSettings: {
        "cost_weight": Bound(0, 10, _OF_A_SCORE),
        "latency_weight": Bound(0, 10, _OF_A_SCORE),
        "explore_share": Bound(0, 0.5, _WORSE),
        "explore_first": Bound(0, 10_000, _WORSE),
    },
    SourceWeights: {
        name: Bound(0, MOST_WEIGHT, "one request counts for no more")
        for name in ("test", "program", "user", "judge", "auto")
    },
    AutomaticSettings: {
        name: Bound(0, 1, "it is a part of the weight of routing.learned.sources.auto")
        for name in ("schema_valid", "tool_call_parsed", "cut_off", "cancelled_half", "repeated")
    },
    LimitSettings: {
        "max_active_requests": Bound(1, 65_536, _MEMORY),
        "max_active_requests_per_user": Bound(1, 65_536, _MEMORY),
        "max_queued_requests": Bound(1, 1_000_000, _MEMORY),
        "max_queued_requests_per_user": Bound(1, 1_000_000, _MEMORY),
        "max_requests_per_minute_per_user": Bound(1, 1_000_000, "leave it out for no limit"),
        "max_free_requests_per_minute_per_user": Bound(0, 1_000_000, "0 is for no limit"),
        "max_outcomes_per_minute_per_user": Bound(0, 1_000_000, "0 is for no limit"),
        "max_batch_requests": Bound(1, 100_000, _VALUES),
        "max_streams_per_user": Bound(1, 4_096, _DESCRIPTORS),
        "stream_stall_s": Bound(0.1, _DAY_S, "a reader that is silent for a day does not come back"),
        "max_prompt_bytes": Bound(1, 30 * _MIB, _MESSAGE),
        "max_waiting_bytes": Bound(_MIB, 16_384 * _MIB, _MEMORY),
        "max_waiting_bytes_per_user": Bound(_MIB, 16_384 * _MIB, _MEMORY),
        "max_answer_bytes": Bound(1, 30 * _MIB, _MESSAGE),
        "max_messages": Bound(1, 100_000, _VALUES),
        "max_tools": Bound(1, 100_000, _VALUES),
        "max_subscribers": Bound(1, 65_536, "each hears of every cost of its user's"),
        "max_subscriptions_per_connection": Bound(1, 4_096, "each hears of every cost of its user's"),
        "default_deadline_ms": _DEADLINE,
        "max_deadline_ms": _DEADLINE,
    },
    AuthorizationSettings: {
        "polkit_timeout_s": Bound(0.1, 300, "callers wait for it"),
        "interactive_timeout_s": Bound(1, 3_600, "a prompt that nobody answers within an hour stays unanswered"),
        "cache_s": Bound(0, 30, "a right that was taken away must soon be gone"),
    },
    LedgerSettings: {
        "lease_s": Bound(10, 30 * _DAY_S, "what a killed daemon left is settled only after it"),
        "keep_days": Bound(1, 36_500, "that is a century"),
    },
    LimitUsd: {"day_usd": _LIMIT_USD, "month_usd": _LIMIT_USD},
    BudgetSettings: {
        "thresholds": Bound(0.001, 1, "they are fractions of a limit"),
        "shared_step": Bound(0, 0.05, "so much of a limit may stay unused for it"),
        "own_share": Bound(0.01, 1, "it is a fraction of what is left"),
    },
    CacheSettings: {
        "ttl_s": Bound(0.1, 365 * _DAY_S, "a model that is asked again a year later is another one"),
        "max_bytes": Bound(1, 512 * _MIB, _MEMORY),
    },
    DaemonSettings: {
        "drain_timeout_s": Bound(0, 3_600, "a shut-down waits for it; the unit's TimeoutStopSec must be longer"),
        "idle_exit_s": Bound(0, 365 * _DAY_S, "0 keeps it running for good"),
    },
}
