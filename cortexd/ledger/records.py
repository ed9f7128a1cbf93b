"""What the ledger is given and what it gives back: plain values, no SQL. Money is integer nano-dollars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import date, datetime
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from cortexd.domain.answered import Answered
from cortexd.domain.apps import APP
from cortexd.domain.decided import Decided
from cortexd.domain.learned import CountKey
from cortexd.domain.messages import Usage
from cortexd.domain.outcomes import Outcome
from cortexd.domain.safe_values import bounded_text
from cortexd.domain.value import value
from cortexd.errors import MAY_QUOTE

MAX_ERROR = 500
MAX_NAME = 200  # characters of a user's, provider's or model's name that are kept


class RequestState(StrEnum):
    """Where a request stands. LOST: its daemon died before it was settled."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


# They brought no answer, and a user may have brought them about by leaving; a daemon's death is nobody's doing.
IN_VAIN = (RequestState.FAILED, RequestState.CANCELLED)


class Kind(StrEnum):
    """What an entry does. Each settled request has exactly one RELEASE, which closes it."""

    RESERVE = "reserve"
    RELEASE = "release"
    CHARGE = "charge"
    ADJUST = "adjust"


class Period(StrEnum):
    """In the machine's time zone."""

    DAY = "day"
    MONTH = "month"


OWN, PAUSE = "own", "pause"  # the scopes of limits that their user has set


class AppOf(NamedTuple):
    """One user's requests by one program, by their label."""

    uid: int
    app: str


Whose = frozenset[int] | AppOf | None  # None is everybody


@value
class Limit:
    """The most that may be spent and reserved in a period, in nano-dollars, by `uids` together; None is everybody.

    `scope`: user, group, machine, APP, OWN or PAUSE; `name`: of the user, group or app; an app's are each one user's.
    `step_nano`: who is bound by it learns
    of others' spending in whole steps, 0 for all of it. `share`: the part of what is left that one user's uncertain
    costs may take. `marks`: the sums spent of which somebody is told as they are reached, None: of all.
    """

    scope: str
    name: str
    period: Period
    nano: int
    uids: frozenset[int] | None
    step_nano: int = 0
    share: Fraction = Fraction(1)
    marks: tuple[int, ...] | None = None

    @property
    def whose(self) -> Whose:
        """Whose costs count."""
        return AppOf(next(iter(self.uids or ())), self.name) if self.scope == APP else self.uids

    @property
    def own(self) -> bool:
        """Its user has set it."""
        return self.scope in (OWN, PAUSE)

    @property
    def personal(self) -> bool:
        """It binds one user alone, who may know all of it."""
        return self.own or self.scope in ("user", APP)


class Own(NamedTuple):
    """One user's part in the figures of a limit; `unknown_nano`: what no provider told of his costs of that day that
    brought no answer (IN_VAIN)."""

    spent_nano: int = 0
    reserved_nano: int = 0
    unknown_nano: int = 0

    @property
    def uncertain_nano(self) -> int:
        """What the user's requests may cost of which nobody knows yet, or ever."""
        return self.reserved_nano + self.unknown_nano


NOBODY = Own()


@value
class BudgetState:
    """Where a limit stands: what is spent for good, and what is reserved for requests under way; `own` of it is whose
    view this is."""

    limit: Limit
    spent_nano: int
    reserved_nano: int
    own: Own = NOBODY

    @property
    def left_nano(self) -> int:
        return max(0, self._left_nano)

    @property
    def _left_nano(self) -> int:
        return self.limit.nano - self.spent_nano - self.reserved_nano

    @property
    def seen(self) -> BudgetState:
        """As its user may know it, and as requests are refused by it: what others spent and reserved is rounded up.

        The own part stays exact and is not rounded with theirs: one could else find theirs by moving it.
        """
        if not self.limit.step_nano:
            return self
        spent = self._up(self.spent_nano - self.own.spent_nano)
        used = self._up(self.spent_nano + self.reserved_nano - self.own.spent_nano - self.own.reserved_nano)
        own = self.own
        return BudgetState(self.limit, own.spent_nano + spent, own.reserved_nano + used - spent, own)

    @property
    def uncertain_nano(self) -> int:
        return self.own.uncertain_nano

    @property
    def share_nano(self) -> int:
        """The most that `uncertain_nano` may be: a part of what would be left without it."""
        left, share = max(0, self._left_nano + self.uncertain_nano), self.limit.share
        return left * share.numerator // share.denominator

    def _up(self, nano: int) -> int:
        return -(-nano // self.limit.step_nano) * self.limit.step_nano


@value
class LimitOverride:
    """Amounts set while the daemon runs, in nano-dollars; None leaves what the configuration says."""

    day_nano: int | None = None
    month_nano: int | None = None


SPENT = (Kind.CHARGE, Kind.ADJUST)


@value
class NewRequest:
    """A request about to be paid for. `started_at` is aware; its day and month are those of the machine's time zone.

    `decided`: what the learner made of it; `counted`: by how much that raises its counts."""

    uid: int
    user: str
    request_id: str
    caller_chosen: bool
    content_hash: bytes
    task_type: str
    started_at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    decided: Decided | None = None
    counted: Mapping[CountKey, int] = field(default_factory=dict)


@value
class Judged:
    """A settled request of which the learner decided, or was watched. `provider` and `model`: who ran; `outcome`: by
    the word of all who said something, NOTHING where nobody did."""

    key: int
    task_type: str
    state: RequestState
    provider: str
    model: str
    cost_nano: int
    cost_known: bool
    decided: Decided
    outcome: Outcome


@value
class AttemptRecord:
    """One attempt at one provider. `outcome`: "ok", a Failure's value, or "cancelled". The last three as Answered has
    them, None after a failure."""

    provider: str
    model: str
    outcome: str
    cost_nano: int
    cost_known: bool
    usage: Usage | None
    latency_ms: int
    error: str = ""
    first_token_ms: int | None = None
    prompt_bytes: int | None = None
    continued: bool | None = None

    @property
    def kept_error(self) -> str:
        """What is kept of its text: nothing that may quote a prompt."""
        return "" if self.outcome in MAY_QUOTE else bounded_text(self.error, MAX_ERROR)

    def learnt(self, task_type: str, at: float) -> Answered:
        """What is to be learnt of it, answered at `at`, in seconds since 1970."""
        return Answered(
            self.provider,
            self.model,
            task_type,
            self.usage,
            self.latency_ms,
            at,
            self.first_token_ms,
            self.prompt_bytes,
            self.continued,
        )


@value
class StoredRequest:
    """A request as the ledger holds it. `provider` and `model`: who answered, or failed last; empty for no attempt."""

    key: int
    uid: int
    request_id: str
    caller_chosen: bool
    content_hash: bytes
    task_type: str
    state: RequestState
    started_at: datetime
    finished_at: datetime | None = None
    provider: str = ""
    model: str = ""
    cost_nano: int = 0
    cost_known: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def in_vain(self) -> bool:
        """It ended without an answer and surely without a bill, so that its id may be used again for the same."""
        return self.state in IN_VAIN and self.cost_known and not self.cost_nano


@value
class Totals:
    """The whole machine, all time: settled requests and what they cost."""

    total_requests: int = 0
    total_cost_nano: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.total_requests + other.total_requests, self.total_cost_nano + other.total_cost_nano)


@value
class Settled:
    """A request's end. `user_day_nano` and `user_month_nano`: spent by its user in the day and month it started in;
    `budgets`: what it did to the limits that bound it."""

    cost_nano: int
    cost_known: bool
    user_day_nano: int
    user_month_nano: int
    totals: Totals
    budgets: tuple[BudgetChange, ...] = ()


class BudgetChange(NamedTuple):
    """What a settlement did to one of its request's limits: spent before and after it."""

    limit: Limit
    before_nano: int
    after_nano: int


@value
class Spent:
    """What a user has spent in the day and month that now are, in the machine's time zone."""

    day_nano: int
    month_nano: int


@value
class ProviderStats:
    """`requests`: those with at least one attempt here; `tokens`: input and output; `cost_nano`: of its attempts."""

    requests: int
    tokens: int
    cost_nano: int


@value
class Stats:
    """Settled requests since a user's last reset. Lost requests are in the total and under no provider."""

    total_requests: int = 0
    total_cost_nano: int = 0
    providers: Mapping[str, ProviderStats] = field(default_factory=dict)


@value
class UsageQuery:
    """Which settled requests to add up: of `uid` (None: of everybody), both days included, in the machine's time zone.

    `user`: only what was made under this name, or before the uid had one.

    `group_by`: any of day, hour, task_type, provider, model, label, app, uid, host; `label`: the label's key.

    `app`: only what the program of that name asked.
    """

    uid: int | None
    since: date
    until: date
    group_by: tuple[str, ...] = ()
    label: str = ""
    user: str | None = None
    app: str = ""


@value
class UsageRow:
    """What the requests with the same `keys` used and cost. `cost_known`: no worst case was booked among them.

    `keys`: each name grouped by with its value; uid brings user with it, app whether that is verified, host its id.
    """

    keys: Mapping[str, str | int]
    requests: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_nano: int
    cost_known: bool


@value
class Pruned:
    """What a pruning has turned into daily sums: so many requests, of so many days."""

    requests: int
    days: int


class OverBudget(Exception):
    """A reservation does not fit into a limit; `state` is where that stands without it, as its user may know it.

    `own_share`: the limit has room, but the user's uncertain costs take his share of it. `room_nano`: what would fit.
    """

    def __init__(self, state: BudgetState, *, own_share: bool = False) -> None:
        limit = state.limit
        room = max(0, state.share_nano - state.uncertain_nano) if own_share else state.left_nano
        super().__init__(f"{limit.scope} {limit.name} has room for {room} nano-dollars this {limit.period}")
        self.state = state
        self.own_share = own_share
        self.room_nano = room


class DuplicateRequest(Exception):
    """The user has used this request id before, not in vain or for something else; `stored` is that request."""

    def __init__(self, stored: StoredRequest) -> None:
        super().__init__(f"request {stored.request_id} of uid {stored.uid} is already {stored.state}")
        self.stored = stored
