"""From the reservation to the settlement: what one admitted request does with money. Knows no caller's connection."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from cortexd.accounts import budget_exceeded
from cortexd.accounts.holds import Holds, Wanted
from cortexd.domain.decided import Decided
from cortexd.domain.messages import Answer
from cortexd.errors import (
    Cancelled,
    CortexError,
    Failure,
    LedgerUnavailable,
    ShuttingDown,
)
from cortexd.ledger import (
    AttemptRecord,
    BookedLater,
    DuplicateRequest,
    Ledger,
    Limit,
    NewRequest,
    OverBudget,
    Settled,
)
from cortexd.providers.patience import Patience
from cortexd.requests.answers.cache import AnswerCache
from cortexd.requests.attempt import Attempt
from cortexd.requests.attempts import Attempts
from cortexd.requests.earlier import expired
from cortexd.requests.events import CostEvent
from cortexd.requests.in_flight import Ticket
from cortexd.requests.intake import Request
from cortexd.requests.internal_errors import internal_error
from cortexd.requests.results import Completion
from cortexd.requests.setup import Setup
from cortexd.requests.sinks import DeltaSink, tell_whole
from cortexd.routing import NOT_COUNTED, Candidate, Counted, Health, Observed, Plan
from cortexd.routing.free_and_local import is_free_and_local

log = logging.getLogger("cortexd.service")

T = TypeVar("T")


@dataclass(slots=True)
class Execution:
    """One request's reservation, attempts and settlement.

    `limits`: the budgets that bind the caller; `bounds` gives those of now, after a wait for a person. `cheaper`:
    another plan for what a budget has left, or None; where it is not given an exhausted budget is the end, but for a
    cap of the caller's own, about which `holds` may ask. `reserved`, where somebody waits for it, ends once the money
    is. `cut_off`: the attempt that was under way when the request ended. `word_at`: when the caller said what he
    allows, which is about his cap of that day, where the request then belongs. `booked_later` hears of a request that
    cost nothing and whose settlement the ledger has not yet.
    """

    request: Request
    ticket: Ticket
    plan: Plan
    setup: Setup
    ledger: Ledger
    health: Health
    tell: Callable[[CostEvent], None]
    bounds: Callable[[], Awaitable[tuple[Limit, ...]]]
    limits: tuple[Limit, ...] = ()
    cheaper: Callable[[OverBudget], Plan | None] | None = None
    holds: Holds | None = None
    sink: DeltaSink | None = None
    dropped_options: tuple[str, ...] = ()
    observed: Observed = field(default_factory=Observed)
    counted: Counted = NOT_COUNTED
    booked_later: Callable[[], None] = lambda: None
    reserved: asyncio.Future[None] | None = None
    began: float = field(default_factory=time.monotonic)  # not while a person was asked for a password
    cut_off: Attempt | None = None
    word_at: datetime | None = None

    async def run(self) -> Completion:
        """The answer, paid for and settled. Raises one of errors, settled too where anything was reserved."""
        key = await self._reserve_within_budget()
        self._is_reserved()
        attempts = Attempts(
            self.request.caller.uid,
            self.request.question,
            self.plan,
            self.setup,
            self.ledger,
            self.health,
            self.plan.candidates[0].worst_case_nano,
            self.sink,
            self._asked,
            observed=self.observed,
        )
        outcome = await self._try(attempts, key)
        state = "done" if isinstance(outcome, tuple) else _state_of(outcome)
        settled = await self._settle(key, state, attempts.records)
        self.cut_off = attempts.cut_off
        if isinstance(outcome, tuple):
            return self._completion(*outcome, attempts, settled)
        raise outcome

    async def run_or_give_again(self, cache: AnswerCache[Completion]) -> Completion:
        """As `run`, but for an equal question's answer where the cache has one."""
        request = self.request
        until = asyncio.get_running_loop().time() + request.left_s
        try:
            completion, hit = await cache.answer((request.caller.uid, request.content_hash), self.run, until)
        except TimeoutError:
            raise request.timeout() from None
        if not hit:
            return completion
        again = await self._give_again(completion)
        if self.sink is not None:
            await tell_whole(again, self.sink)
        return again

    def _is_reserved(self) -> None:
        if self.reserved is not None and not self.reserved.done():
            self.reserved.set_result(None)

    async def _give_again(self, earlier: Completion) -> Completion:
        """An equal request's answer as this one's: a row of its own in the ledger, at no cost."""
        self.give_counted_back()
        key = await self._reserve(0, (), here=True)
        self._is_reserved()
        settled = await self._settle(key, "done", ())
        return Completion(
            request_id=self.request.request_id,
            task_type=self.request.question.task_type,
            content=earlier.content,
            provider=earlier.provider,
            model=earlier.model,
            cost_nano=0,
            cost_known=True,
            latency_ms=self._latency_ms(),
            route_reason="an equal request was answered before",
            finish_reason=earlier.finish_reason,
            answer=earlier.answer,
            attempts=(),
            settled=settled is not None,
            cache_hit=True,
            secrets_found=self.request.question.guard.found,
        )

    def _asked(self, candidate: Candidate) -> None:
        self.ticket.provider, self.ticket.model = candidate.provider, candidate.model
        if self.sink is not None:
            self.sink.asks(candidate.provider, candidate.model, candidate.reason)

    async def _reserve_within_budget(self) -> int:
        """For the plan's first candidate, or a cheaper one, for as long as others are quicker to take what is left."""
        while True:
            nano = self.plan.candidates[0].worst_case_nano
            try:
                here = is_free_and_local(self.plan.candidates[0], self.setup.config)
                return await self._reserve(nano, self.limits, self._decision, here=here)
            except OverBudget as over:
                await self._find_room(over, nano)

    async def _find_room(self, over: OverBudget, nano: int) -> None:
        """Take a cheaper plan, or what the caller allows himself. Raises BudgetExceeded."""
        plan = self.cheaper(over) if self.cheaper else None
        if plan is not None and plan.candidates[0].worst_case_nano < nano:
            self.plan = plan
        elif self.holds is not None and over.state.limit.own:
            await self._hold(self.holds, over, nano)
        else:
            raise budget_exceeded(over, datetime.now().astimezone(), shared=self.ledger.fleet.shared) from None

    async def _hold(self, holds: Holds, over: OverBudget, nano: int) -> None:
        request, first, state = self.request, self.plan.candidates[0], self.ticket.state
        task_type = request.question.task_type.value
        wanted = Wanted(request.request_id, task_type, request.app, first.provider, first.model, nano)
        self.ticket.state = "held"
        try:
            own = await holds.ask(request.caller.uid, wanted, over, request.left_s)
            bounds = await self.bounds()
        except asyncio.CancelledError:
            raise self.ticket.interruption from None
        finally:
            self.ticket.state = state
        self.limits = (*(limit for limit in bounds if not limit.own), *own)
        self.began = time.monotonic()
        self.word_at = datetime.now().astimezone()

    @property
    def _decision(self) -> Decided | None:
        return None if self.plan.learning is None else self.plan.learning.decided

    async def _reserve(
        self, nano: int, limits: tuple[Limit, ...], decided: Decided | None = None, *, here: bool = False
    ) -> int:
        """Transaction A. A cancellation waits for its outcome, so that no reservation is left behind.

        `here`: it costs nothing and leaves the operator's own models never, and so can do without a ledger for a while.
        """
        request = self.request
        row = NewRequest(
            uid=request.caller.uid,
            user=request.caller.user,
            request_id=request.request_id,
            caller_chosen=request.chosen,
            content_hash=request.content_hash,
            task_type=request.question.task_type.value,
            labels=request.question.options.labels,
            started_at=self.word_at or request.question.moment,
            decided=decided,
            counted=self.counted.more,
        )
        try:
            key = await self._transaction_a(row, nano, limits)
        except LedgerUnavailable:
            if not here:
                raise
            return self._reserve_here(row)
        self._keep_counted()
        return key

    def _reserve_here(self, row: NewRequest) -> int:
        key = self.ledger.reserve_here(replace(row, decided=None, counted={}))
        self.give_counted_back()
        return key

    async def _transaction_a(self, row: NewRequest, nano: int, limits: tuple[Limit, ...]) -> int:
        reserving = self.ledger.reserving(row, nano, limits)
        try:
            return await reserving
        except DuplicateRequest as duplicate:
            raise expired(self.request, duplicate.stored) from None
        except asyncio.CancelledError:
            await self._take_back(reserving)
            raise self.ticket.interruption from None

    def _keep_counted(self) -> None:
        """What the decision counts for stands with the reservation."""
        self.counted.kept()
        self.counted = NOT_COUNTED

    def give_counted_back(self) -> None:
        """What its decision counts for is given back, unless it stands with a reservation."""
        self.counted.given_back()
        self.counted = NOT_COUNTED

    async def _take_back(self, reserving: asyncio.Future[int]) -> None:
        try:
            key = reserving.result()  # it has ended: see Ledger.reserving
        except (DuplicateRequest, OverBudget, CortexError):
            return  # nothing was reserved
        self._keep_counted()
        await self._settle(key, "cancelled", ())

    async def _try(self, attempts: Attempts, key: int) -> tuple[Candidate, Answer] | CortexError:
        """Run the attempts within the deadline; every way in which that can end comes back as a value."""
        if self.request.left_s <= 0:  # it went by while a person typed a password: nobody shall be asked
            return self.request.timeout()
        try:
            async with Patience(self.request.left_s):
                return await attempts.run(key)
        except TimeoutError:
            attempts.abandon(Failure.TIMEOUT.value)
            return self.request.timeout()
        except asyncio.CancelledError:
            attempts.abandon("cancelled")
            return self.ticket.interruption
        except CortexError as error:
            attempts.abandon("cancelled")
            return error
        except Exception:  # noqa: BLE001 - whatever it is, the money must be settled
            attempts.abandon("internal_error")
            return internal_error("while answering request %s", self.request.request_id)

    async def _settle(self, key: int, state: str, made: Sequence[AttemptRecord]) -> Settled | None:
        """Transaction B, then tell. None where the ledger cannot be written: the answer is delivered all the same,
        and its cost told once it is written.

        A cancellation comes too late here: what is being settled is paid for.
        """
        records = tuple(made)
        event = self._event_of(state, records)
        tell = self.tell
        try:
            settling = self.ledger.settling(key, state, records, lambda late: tell(event(settled=late, late=True)))
            settled = await _outlasting(settling)
        except BookedLater:
            self.booked_later()
            return None
        except LedgerUnavailable as error:
            log.error("request %s is answered but not settled: %s", self.request.request_id, error)
            return None
        tell(event(settled=settled))
        return settled

    def _event_of(self, state: str, records: tuple[AttemptRecord, ...]) -> Callable[..., CostEvent]:
        """What there is to tell but for the settlement, without the prompt: it may have to wait for the disk."""
        return partial(
            CostEvent,
            uid=self.request.caller.uid,
            request_id=self.request.request_id,
            task_type=self.request.question.task_type,
            provider=records[-1].provider if records else "",
            model=records[-1].model if records else "",
            state=state,
            attempts=records,
            latency_ms=self._latency_ms(),
        )

    def _latency_ms(self) -> int:
        return round((time.monotonic() - self.began) * 1000)

    def _completion(
        self, candidate: Candidate, answer: Answer, attempts: Attempts, settled: Settled | None
    ) -> Completion:
        records = tuple(attempts.records)
        return Completion(
            request_id=self.request.request_id,
            task_type=self.request.question.task_type,
            content=answer.content,
            provider=candidate.provider,
            model=answer.model or candidate.model,
            cost_nano=sum(record.cost_nano for record in records),
            cost_known=all(record.cost_known for record in records),
            latency_ms=self._latency_ms(),
            route_reason=candidate.reason,
            finish_reason=answer.finish_reason,
            answer=answer,
            attempts=records,
            settled=settled is not None,
            dropped_options=answer.dropped_options + self.dropped_options,
            secrets_found=self.request.question.guard.found,
            outcome_wanted=self.plan.learning is not None,
        )


async def _outlasting(work: asyncio.Future[T]) -> T:
    """The outcome of such `work` of the ledger, also where the task that waits for it is cancelled meanwhile."""
    with suppress(asyncio.CancelledError):
        return await work
    return work.result()


def _state_of(error: CortexError) -> str:
    return "cancelled" if isinstance(error, Cancelled | ShuttingDown) else "failed"
