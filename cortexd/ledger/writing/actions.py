"""What callers want written, one value each; the writer's queue carries them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cortexd.domain.value import value
from cortexd.errors import CortexError
from cortexd.ledger.records import (
    AttemptRecord,
    DuplicateRequest,
    Limit,
    NewRequest,
    OverBudget,
    RequestState,
    Settled,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection


@value
class Reserve:
    """Result: the request's key."""

    request: NewRequest
    nano: int
    limits: Sequence[Limit] = ()


@value
class ReserveMore:
    """Under the limits that the request was reserved with."""

    key: int
    nano: int


@value
class Settle:
    """Result: Settled. `late` gets it instead where whoever waits was told that it could not be written in time.

    `begun_by`: the instance that has reserved the request, "" for this one, None where nobody knows. The key alone may
    be another's in a database that was restored."""

    key: int
    state: RequestState
    attempts: Sequence[AttemptRecord]
    late: Callable[[Settled], None] | None = None
    begun_by: str | None = ""


@value
class Book:
    """A request that cost nothing, and that began and ended (`ended_at`, aware) elsewhere. Result: Settled.

    Where its id was used meanwhile it is booked by another."""

    request: NewRequest
    state: RequestState
    attempts: Sequence[AttemptRecord]
    ended_at: datetime


@value
class Replay:
    """Line `number` of a spool: done once, whatever becomes of the daemon meanwhile. Result: Settled; None where it was
    done before."""

    spool: str
    number: int
    what: Book | Settle


@value
class ResetStats:
    uid: int


@value
class TakeOver:
    """`uid` belongs to another user from now on."""

    uid: int
    user: str


@value
class RenewLeases:
    """For every pending row of this daemon."""


@value
class Change:
    """Anything beside the books, in the group's transaction. Result: what `apply` gives.

    `alone`: it goes by the newest entry's number, below which no other daemon may add one later."""

    apply: Callable[[Connection], Any]
    alone: bool = False


@value
class Upkeep:
    """A change in a transaction of its own, for which no call waits but those that come while it runs.

    `held` is told, in the writer's thread, for how many seconds the transaction kept others out.
    """

    apply: Callable[[Connection], Any]
    held: Callable[[float], None]


@value
class ReadBooks:
    """Result: for each limit its BudgetState, as `uid` sees it."""

    limits: Sequence[Limit]
    day: str
    uid: int | None = None


Beside = ResetStats | TakeOver | RenewLeases | Change | Upkeep | Replay
"""What is not one request's money by itself."""
Action = Reserve | ReserveMore | Settle | Book | ReadBooks | Beside
Result = Any
"""What an action's docstring says, or the exception that it ended in."""


def is_refusal(result: Result) -> bool:
    """Whether an action was refused for its own sake, in words for whoever asked; no other error is."""
    return isinstance(result, CortexError | DuplicateRequest | OverBudget)
