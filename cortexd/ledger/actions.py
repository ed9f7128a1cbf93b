"""What callers want written, one value each; the writer's queue carries them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cortexd.ledger.records import AttemptRecord, NewRequest, State


@dataclass(frozen=True, slots=True)
class Reserve:
    """Result: the request's key."""

    request: NewRequest
    nano: int


@dataclass(frozen=True, slots=True)
class ReserveMore:
    key: int
    nano: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Result: Settled."""

    key: int
    state: State
    attempts: Sequence[AttemptRecord]


@dataclass(frozen=True, slots=True)
class ResetStats:
    uid: int


@dataclass(frozen=True, slots=True)
class RenewLeases:
    """For every pending row of this daemon."""


Action = Reserve | ReserveMore | Settle | ResetStats | RenewLeases
