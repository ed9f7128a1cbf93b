"""A request's life, in order. Knows no D-Bus type: bus/ calls it, and it tells what happened through a callback."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cortexd.access import Action, Admission, Authorizer, Caller, Turns, action_for
from cortexd.attempts import Attempts, Party
from cortexd.catalog import Catalog
from cortexd.config import Config
from cortexd.errors import (
    AnswerExpired,
    Cancelled,
    CortexError,
    Failure,
    Internal,
    InvalidArgument,
    LedgerUnavailable,
    RequestIdReused,
    ShuttingDown,
    Timeout,
)
from cortexd.inflight import InFlight
from cortexd.ledger import (
    DuplicateRequest,
    Ledger,
    NewRequest,
    Settled,
    Spent,
    Stats,
    StoredRequest,
    Totals,
)
from cortexd.messages import Answer, Role
from cortexd.outcome import Completion, CostEvent, Decision
from cortexd.routing import Candidate, Health, Plan, Question, plan_route
from cortexd.tasks import parse_task_type
from cortexd.validation import Bounds, content_hash, parse_messages, parse_options

log = logging.getLogger("cortexd.service")

_READINGS_PER_USER = 16  # of the ledger at a time; it lets 1,000 wait in all


@dataclass(frozen=True, slots=True)
class _Request:
    """One decoded request on its way."""

    caller: Caller
    request_id: str
    chosen: bool
    question: Question
    content_hash: bytes
    deadline_s: float
    began: float = field(default_factory=time.monotonic)

    @property
    def key(self) -> tuple[int, str]:
        return self.caller.uid, self.request_id


class Service:
    """Everything the daemon does for its callers, under one configuration at a time."""

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        party: Party,
        ledger: Ledger,
        authorizer: Authorizer,
        health: Health,
        tell: Callable[[CostEvent], None],
        on_activity: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._authorizer = authorizer
        self._tell = tell
        self.health = health
        self._inflight: InFlight[Completion] = InFlight(_size_of, on_activity)
        self._admission = Admission(config.limits)
        self._readings = Turns(_READINGS_PER_USER)
        self._closing = False
        self.adopt(config, catalog, party)

    def adopt(self, config: Config, catalog: Catalog, party: Party) -> None:
        """Take another configuration; requests under way finish under theirs."""
        self.config = config
        self.catalog = catalog
        self.party = party
        self._admission.limits = config.limits
        limits = config.limits
        self._bounds = Bounds(limits.max_prompt_bytes, limits.max_messages, limits.max_tools, limits.max_deadline_ms)

    @property
    def active_requests(self) -> int:
        return len(self._inflight)

    @property
    def totals(self) -> Totals:
        return self._ledger.totals

    async def complete(self, caller: Caller, task_type: str, messages: object, options: object) -> Completion:
        """Answer one request: decode, admit, authorise, route, reserve, try, settle, tell."""
        self._refuse_when_closing()
        request = self._decode(caller, task_type, messages, options)
        earlier = await self._earlier(request)
        if earlier is not None:
            return await earlier
        with ExitStack() as held:
            held.enter_context(self._admission.slot(caller.uid))
            await self._authorize(request)
            self._refuse_when_closing()
            plan = self._plan(request.question)
            earlier = self._held(request)  # the same request may have begun while polkit was asked
            if earlier is not None:
                return await earlier
            slot = held.pop_all()
        running = self._inflight.start(
            request.key, request.content_hash, request.chosen, self._live(request, plan, self.party, slot)
        )
        return await self._join(running.task, abandon=not request.chosen)

    def route(self, caller: Caller, task_type: str, messages: object, options: object) -> Decision:
        """What `complete` would do, spending nothing and asking nobody."""
        question = self._decode(caller, task_type, messages, options).question
        return Decision(question, self._plan(question), self._action(question).value)

    async def stats(self, uid: int) -> Stats:
        """That user's counters since the last reset."""
        async with self._readings.turn(uid):
            return await self._ledger.stats(uid)

    async def spent(self, uid: int) -> Spent:
        """That user's day and month so far."""
        async with self._readings.turn(uid):
            return await self._ledger.spent(uid)

    async def reset_stats(self, uid: int) -> None:
        await self._ledger.reset_stats(uid)

    async def outlive_requests(self) -> None:
        """Return when every request that is under way now has ended."""
        await self._inflight.outlive()

    async def close(self, drain_timeout_s: float) -> bool:
        """Refuse new requests and wait for those under way. True if none had to be cancelled."""
        self._closing = True
        return await self._inflight.drain(drain_timeout_s)

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise ShuttingDown("the service is shutting down; try again in a moment", retry_after_ms=1000)

    def _decode(self, caller: Caller, task_type: str, messages: object, options: object) -> _Request:
        kind = parse_task_type(task_type)
        parsed = parse_options(options, self._bounds)
        turns = parse_messages(messages, self._bounds)
        limits = self.config.limits
        deadline_ms = parsed.deadline_ms or min(limits.default_deadline_ms, limits.max_deadline_ms)
        return _Request(
            caller,
            parsed.request_id or secrets.token_hex(10),
            parsed.request_id is not None,
            Question(kind, turns, parsed, datetime.now(UTC)),
            content_hash(kind, turns, parsed) if parsed.request_id else b"",
            deadline_ms / 1000,
        )

    async def _authorize(self, request: _Request) -> None:
        question = request.question
        await self._authorizer.authorize(request.caller, self._action(question), question.task_type)

    def _action(self, question: Question) -> Action:
        return action_for(question.task_type, question.options, self.config.authorization)

    def _plan(self, question: Question) -> Plan:
        return plan_route(question, self.config, self.catalog, self.health)

    async def _earlier(self, request: _Request) -> Awaitable[Completion] | None:
        """The answer of an earlier call with the same chosen id: under way, kept, or gone (AnswerExpired)."""
        if not request.chosen:
            return None
        held = self._held(request)
        if held is None:
            async with self._readings.turn(request.caller.uid):
                stored = await self._ledger.find(*request.key)
            held = self._held(request)  # it may have begun meanwhile
            if held is None and stored is not None:
                raise _expired(request, stored)
        return held

    def _held(self, request: _Request) -> Awaitable[Completion] | None:
        """The answer of an earlier call with the same chosen id, as far as this process has it.

        The user was authorised for it then: fetching it needs no second check.
        """
        if not request.chosen:
            return None
        running = self._inflight.running(request.key)
        kept = None if running else self._inflight.kept(request.key)
        if running is not None:
            _same_content(request, running.content_hash)
            request.caller.granted.add(self._action(request.question))
            return self._join(running.task, abandon=False)
        if kept is not None:
            _same_content(request, kept[0])
            request.caller.granted.add(self._action(request.question))
            return _ready(kept[1])
        return None

    @staticmethod
    async def _join(task: asyncio.Task[Completion], *, abandon: bool) -> Completion:
        """Wait for a request's task. Where the waiter leaves and nobody else can come for the answer, end it."""
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise Cancelled("the request was cancelled") from None
            if abandon:
                task.cancel()
            raise

    async def _live(self, request: _Request, plan: Plan, party: Party, slot: ExitStack) -> Completion:
        with slot:
            began = time.monotonic()  # not while a person was asked for a password
            key = await self._reserve(request, plan)
            attempts = Attempts(request.question, plan, party, self._ledger, self.health)
            outcome = await self._try(request, attempts, key)
            state = "done" if isinstance(outcome, tuple) else _state_of(outcome)
            settled = await self._settle(request, key, state, attempts)
            if isinstance(outcome, tuple):
                return _completion(request, *outcome, attempts, settled, began)
            raise outcome

    async def _reserve(self, request: _Request, plan: Plan) -> int:
        """Transaction A. A cancellation waits for its outcome, so that no reservation is left behind."""
        caller, question = request.caller, request.question
        row = NewRequest(
            uid=caller.uid,
            user=caller.user,
            request_id=request.request_id,
            caller_chosen=request.chosen,
            content_hash=request.content_hash,
            task_type=question.task_type.value,
            labels=question.options.labels,
            started_at=question.moment,
        )
        reserving = asyncio.ensure_future(self._ledger.reserve(row, plan.candidates[0].worst_case_nano))
        try:
            return await asyncio.shield(reserving)
        except DuplicateRequest as duplicate:
            raise _expired(request, duplicate.stored) from None
        except asyncio.CancelledError:
            await self._ledger.settle(await reserving, "cancelled", ())
            raise

    async def _try(self, request: _Request, attempts: Attempts, key: int) -> tuple[Candidate, Answer] | CortexError:
        """Run the attempts within the deadline; every way in which that can end comes back as a value."""
        left_s = request.deadline_s - (time.monotonic() - request.began)
        try:
            async with asyncio.timeout(left_s):
                return await attempts.run(key)
        except TimeoutError:
            attempts.abandon(Failure.TIMEOUT.value)
            return Timeout(f"no answer within the deadline of {request.deadline_s:g} s; raise options.deadline_ms")
        except asyncio.CancelledError:
            attempts.abandon("cancelled")
            return Cancelled("the request was cancelled")
        except CortexError as error:
            return error
        except Exception:  # noqa: BLE001 - whatever it is, the money must be settled
            attempts.abandon("internal_error")
            return internal_error("while answering request %s", request.request_id)

    async def _settle(self, request: _Request, key: int, state: str, attempts: Attempts) -> Settled | None:
        """Transaction B, then tell. None where the ledger cannot be written: the answer is delivered all the same."""
        try:
            settled = await asyncio.shield(self._ledger.settle(key, state, tuple(attempts.records)))
        except LedgerUnavailable as error:
            log.error("request %s is answered but not settled: %s", request.request_id, error)
            return None
        last = attempts.records[-1] if attempts.records else None
        self._tell(
            CostEvent(
                request.caller.uid,
                request.request_id,
                request.question.task_type,
                last.provider if last else "",
                last.model if last else "",
                settled,
            )
        )
        return settled


async def _ready(completion: Completion) -> Completion:
    return completion


def _size_of(completion: Completion) -> int:
    return len(completion.content) * 4 + 1024


def prompt_messages(prompt: str) -> list[dict[str, str]]:
    """The messages of Ask: one user turn."""
    if not prompt.strip():
        raise InvalidArgument("prompt: expected some text, got none")
    return [{"role": Role.USER.value, "content": prompt}]


def internal_error(what: str, *arguments: object) -> Internal:
    """Log the current exception under a new id and give the caller that id alone."""
    reference = secrets.token_hex(6)
    log.exception(f"internal error {reference} {what}", *arguments)
    return Internal(f"internal error; the service's log has it under {reference}")


def _same_content(request: _Request, stored_hash: bytes) -> None:
    if request.content_hash != stored_hash:
        raise RequestIdReused(
            f"request_id {request.request_id!r} was used for a request with other content; choose another id"
        )


def _expired(request: _Request, stored: StoredRequest) -> AnswerExpired:
    """What a request that only the ledger knows is answered with. Raises RequestIdReused for other content."""
    _same_content(request, stored.content_hash)
    return AnswerExpired(
        f"request {request.request_id!r} was made before ({stored.state}) and its answer is no longer held; "
        f"choose another request_id to ask again",
        cost_nano_usd=stored.cost_nano,
    )


def _state_of(error: CortexError) -> str:
    return "cancelled" if isinstance(error, Cancelled) else "failed"


def _completion(
    request: _Request, candidate: Candidate, answer: Answer, attempts: Attempts, settled: Settled | None, began: float
) -> Completion:
    records = tuple(attempts.records)
    return Completion(
        request_id=request.request_id,
        task_type=request.question.task_type,
        content=answer.content,
        provider=candidate.provider,
        model=answer.model or candidate.model,
        cost_nano=sum(record.cost_nano for record in records),
        cost_known=all(record.cost_known for record in records),
        latency_ms=round((time.monotonic() - began) * 1000),
        route_reason=candidate.reason,
        finish_reason=answer.finish_reason,
        answer=answer,
        attempts=records,
        settled=settled is not None,
    )
