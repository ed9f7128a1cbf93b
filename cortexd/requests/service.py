"""A request's life, in order. Knows no D-Bus type: bus/ calls it, and it tells what happened through a callback."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cortexd.access import Admission, Place, Turns
from cortexd.accounts.accounts import Accounts
from cortexd.authority import Action, Authorizer, Caller, action_for
from cortexd.catalog import Catalog
from cortexd.config import Config
from cortexd.domain.messages import Role
from cortexd.domain.tasks import TaskType, parse_task_type
from cortexd.errors import (
    InvalidArgument,
    RequestNotFound,
    ShuttingDown,
    Timeout,
)
from cortexd.ledger import Ledger, LimitOverride, Totals
from cortexd.requests.answers.cache import AnswerCache
from cortexd.requests.attempts import Party
from cortexd.requests.execution import Fulfilment, Request, expired, same_content
from cortexd.requests.in_flight import InFlight, Running, Ticket
from cortexd.requests.results import Completion, Condition, CostEvent, Decision, Sink
from cortexd.requests.streams import Audience, Streams, tell_whole
from cortexd.routing import Health, Plan, Question, Sessions, State, Wishes, downgrade, plan_route
from cortexd.validation import Bounds, content_hash, parse_messages, parse_options

_FINDINGS_PER_USER = 16  # of earlier requests in the ledger, at a time


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
        overrides: Mapping[Any, LimitOverride] | None = None,
    ) -> None:
        self._ledger = ledger
        self._authorizer = authorizer
        self._tell = tell
        self.health = health
        self.accounts = Accounts(ledger, authorizer, config.budgets, overrides or {})
        self._inflight: InFlight[Completion] = InFlight(_size_of, on_activity)
        self._cache: AnswerCache[Completion] = AnswerCache(_size_of)
        self._sessions = Sessions()
        self._admission = Admission(config.limits)
        self._findings = Turns(_FINDINGS_PER_USER)
        self._streams = Streams()
        self._closing = False
        self._began = time.monotonic()
        self.adopt(config, catalog, party)

    def adopt(self, config: Config, catalog: Catalog, party: Party) -> None:
        """Take another configuration; requests under way finish under theirs."""
        self.config = config
        self.catalog = catalog
        self.party = party
        limits = self._admission.limits = config.limits
        self.accounts.adopt(config.budgets)
        self._cache.adopt(config.cache)
        self._findings.waiting = limits.max_queued_requests_per_user  # these wait for the same answers
        self._bounds = Bounds(limits.max_prompt_bytes, limits.max_messages, limits.max_tools, limits.max_deadline_ms)

    @property
    def active_requests(self) -> int:
        return len(self._inflight)

    @property
    def condition(self) -> Condition:
        configured = [name for name, item in self.config.providers.items() if item.configured]
        return Condition(
            uptime_s=int(time.monotonic() - self._began),
            active_requests=self.active_requests,
            queued_requests=self._admission.waiting,
            ledger_writable=self._ledger.writable,
            providers={name: self.health.state(name) is not State.OPEN for name in configured},
        )

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    @property
    def totals(self) -> Totals:
        return self._ledger.totals

    async def complete(self, caller: Caller, task_type: str, messages: object, options: object) -> Completion:
        """Answer one request: decode, admit, authorise, route, reserve, try, settle, tell."""
        return await self.answer(self.decode(caller, task_type, messages, options))

    async def open_stream(
        self, caller: Caller, task_type: str, messages: object, options: object, sink: Sink
    ) -> tuple[str, asyncio.Task[None]]:
        """Begin to answer into `sink`; returns once the money is reserved. Raises what fails until then.

        The task feeds the sink and closes it; cancelling the task, as when the reader has gone, cancels the request,
        unless another call has joined it.
        """
        request = self.decode(caller, task_type, messages, options)
        with self._streams.opening(caller.uid, self.config.limits.max_streams_per_user):
            answer = await self._earlier(request)
            running = None
            if answer is None:
                answer, running = await self._begin(request, sink)
            leave = None if running is None else running.leave
            return request.request_id, self._streams.feed(caller.uid, answer, leave, sink)

    async def answer(self, request: Request, *, authorised: bool = False) -> Completion:
        """The answer to a decoded request. `authorised`: the caller was, for this very request."""
        answer = await self._earlier(request)
        if answer is None:
            answer, _ = await self._begin(request, authorised=authorised)
        return await answer

    def cancel(self, caller: Caller, request_id: str) -> None:
        """End one of the caller's own requests. Raises RequestNotFound."""
        if not self._inflight.cancel((caller.uid, request_id)):
            raise RequestNotFound("you have no request with that id waiting or under way")

    def requests(self, caller: Caller) -> list[Ticket]:
        """The caller's own requests that are waiting or under way, oldest first."""
        return self._inflight.tickets(caller.uid)

    async def route(self, caller: Caller, task_type: str, messages: object, options: object) -> Decision:
        """What `complete` would do, spending nothing and asking nobody."""
        question = self.decode(caller, task_type, messages, options).question
        return Decision(question, await self._plan(caller, question), self.action(question).value)

    async def verify_provider(self, caller: Caller, name: str) -> Completion:
        """One smallest request to `name`, at the caller's cost; whoever may manage needs no other authorization."""
        options = {"provider": name, "fallback": False, "max_tokens": 16, "deadline_ms": 60_000}
        messages = [{"role": Role.USER.value, "content": "Answer with the word OK."}]
        request = self.decode(caller, TaskType.USER_CHAT.value, messages, options)
        return await self.answer(request, authorised=True)

    async def outlive_requests(self) -> None:
        """Return when every request that is under way now has ended."""
        await self._inflight.outlive()

    async def close(self, drain_timeout_s: float) -> bool:
        """Refuse new requests and wait for those under way. True if none had to be cancelled."""
        self._closing = True
        drained = await self._inflight.drain(drain_timeout_s)
        await self._streams.close()
        return drained

    def refuse_when_closing(self) -> None:
        if self._closing:
            raise ShuttingDown("the service is shutting down; try again in a moment", retry_after_ms=1000)

    def decode(self, caller: Caller, task_type: str, messages: object, options: object) -> Request:
        """A checked request. Raises InvalidArgument and its kin, TooLarge or ShuttingDown."""
        self.refuse_when_closing()
        kind = parse_task_type(task_type)
        parsed = parse_options(options, self._bounds)
        turns = parse_messages(messages, self._bounds)
        limits = self.config.limits
        deadline_ms = parsed.deadline_ms or min(limits.default_deadline_ms, limits.max_deadline_ms)
        hashed = parsed.request_id is not None or parsed.cache
        return Request(
            caller,
            parsed.request_id or secrets.token_hex(10),
            parsed.request_id is not None,
            Question(kind, turns, parsed, datetime.now(UTC)),
            content_hash(kind, turns, parsed) if hashed else b"",
            deadline_ms / 1000,
        )

    def action(self, question: Question) -> Action:
        """The polkit action that a request needs."""
        return action_for(question.task_type, question.options, self.config.authorization)

    async def _begin(
        self, request: Request, sink: Sink | None = None, *, authorised: bool = False
    ) -> tuple[Awaitable[Completion], Running[Completion] | None]:
        """Admit, authorise and route a request and start its work; its answer, and the work where it is its own.

        With a sink it returns once the money is reserved.
        """
        ticket = Ticket(request.key, request.question.task_type, request.chosen, request.deadline_s)
        with self._inflight.arrived(ticket):
            place = await self._admit(request)
            try:
                ticket.state = "authorizing"
                if not authorised:
                    await self._authorize(request)
                limits = await self.accounts.limits(request.caller)
                # last: from here to the start of the work nothing waits, so that both know the same configuration
                plan = await self._plan(request.caller, request.question)
                self.refuse_when_closing()
                held = self._held(request)  # the same request may have begun while polkit was asked
            except BaseException:
                place.leave()
                raise
        if held is not None:
            place.leave()
            return held, None
        work = Fulfilment(
            request,
            ticket,
            plan,
            self.party,
            self._ledger,
            self.health,
            self._tell,
            limits,
            self._cheaper(request, plan),
        )
        running = self._start(work, sink, place)
        if sink is not None:
            await self._until_reserved(running, work)
        return self._join(running, abandon=not request.chosen and sink is None), running

    def _start(self, work: Fulfilment, sink: Sink | None, place: Place) -> Running[Completion]:
        running = self._inflight.start(work.ticket, work.request.content_hash, self._live(work))
        running.task.add_done_callback(lambda _task: place.leave())
        if sink is not None:
            work.sink = Audience(sink, lambda: running.joined > 0)
            work.ticket.state = "streaming"
        return running

    async def _live(self, work: Fulfilment) -> Completion:
        """The request's own task: from the cache where it may, and else paid for."""
        request, options = work.request, work.request.question.options
        if not options.cache or not self.config.cache.enabled:
            work.dropped_options = ("cache",) if options.cache else ()
            completion = await work.run()
        else:
            completion = await self._cached(work)
        self._sessions.answered(request.caller.uid, options.session, completion.provider)
        return completion

    async def _cached(self, work: Fulfilment) -> Completion:
        request = work.request
        until = asyncio.get_running_loop().time() + request.left_s
        try:
            completion, hit = await self._cache.answer((request.caller.uid, request.content_hash), work.run, until)
        except TimeoutError:
            raise request.timeout() from None
        if not hit:
            return completion
        again = await work.give_again(completion)
        if work.sink is not None:
            await tell_whole(again, work.sink)
        return again

    def _cheaper(self, request: Request, plan: Plan) -> Callable[[int], Plan | None] | None:
        """What a budget's last money may still buy, where the operator wants that."""
        config, catalog = self.config, self.catalog
        if config.budgets.at_limit != "downgrade":
            return None
        return lambda left: downgrade(plan, request.question, config, catalog, self.health, left)

    async def _until_reserved(self, running: Running[Completion], work: Fulfilment) -> None:
        """Return once the money is reserved; raise what the request ended in before."""
        reserved = asyncio.create_task(work.reserved.wait())
        try:
            await asyncio.wait({reserved, running.task}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            running.task.cancel()
            raise
        finally:
            reserved.cancel()
        if not work.reserved.is_set():
            await self._join(running, abandon=False)

    async def _admit(self, request: Request) -> Place:
        try:
            async with asyncio.timeout(request.left_s):
                return await self._admission.enter(request.caller.uid)
        except TimeoutError:
            raise request.timeout() from None

    async def authorize(self, caller: Caller, action: Action, task_types: tuple[TaskType, ...]) -> None:
        """Ask polkit about a batch, within the caller's places. Raises AccessDenied and its kin, or Timeout."""
        wait_s = self.config.limits.default_deadline_ms / 1000
        try:
            async with asyncio.timeout(wait_s), self._admission.slot(caller.uid):
                await self._authorizer.authorize(caller, action, task_types)
        except TimeoutError:
            raise Timeout(f"no place became free within {wait_s:g} s; end some of your requests") from None

    async def _authorize(self, request: Request) -> None:
        question = request.question
        await self._authorizer.authorize(request.caller, self.action(question), (question.task_type,))

    async def _plan(self, caller: Caller, question: Question) -> Plan:
        wishes: Wishes = await self.accounts.wishes(caller.uid)
        if question.options.session is not None:
            wishes = replace(wishes, sticky=self._sessions.provider(caller.uid, question.options.session))
        return plan_route(question, self.config, self.catalog, self.health, wishes=wishes)

    async def _earlier(self, request: Request) -> Awaitable[Completion] | None:
        """The answer of an earlier call with the same chosen id: under way, kept, or gone (AnswerExpired)."""
        if not request.chosen:
            return None
        held = self._held(request)
        if held is None:
            async with self._findings.turn(request.caller.uid):
                stored = await self._ledger.find(*request.key)
            held = self._held(request)  # it may have begun meanwhile
            if held is None and stored is not None:
                raise expired(request, stored)
        return held

    def _held(self, request: Request) -> Awaitable[Completion] | None:
        """The answer of an earlier call with the same chosen id, as far as this process has it.

        The user was authorised for it then: fetching it needs no second check.
        """
        if not request.chosen:
            return None
        running = self._inflight.running(request.key)
        kept = None if running else self._inflight.kept(request.key)
        if running is not None:
            same_content(request, running.content_hash)
            request.caller.granted.add(self.action(request.question))
            return self._joined(running)
        if kept is not None:
            same_content(request, kept[0])
            request.caller.granted.add(self.action(request.question))
            return _ready(kept[1])
        return None

    async def _joined(self, running: Running[Completion]) -> Completion:
        """Wait for the answer to a request that an earlier call began."""
        running.joined += 1
        try:
            return await self._join(running, abandon=False)
        finally:
            running.joined -= 1

    @staticmethod
    async def _join(running: Running[Completion], *, abandon: bool) -> Completion:
        """Wait for a request's task. Where the waiter leaves and nobody else can come for the answer, end it."""
        try:
            return await asyncio.shield(running.task)
        except asyncio.CancelledError:
            if running.task.cancelled():
                raise running.ticket.interruption from None
            if abandon:
                running.task.cancel()
            raise


async def _ready(completion: Completion) -> Completion:
    return completion


def _size_of(completion: Completion) -> int:
    said = len(completion.content) + sum(len(call.arguments) for call in completion.answer.tool_calls)
    return said * 4 + 1024 * (1 + len(completion.answer.tool_calls))


def prompt_messages(prompt: str) -> list[dict[str, str]]:
    """The messages of Ask: one user turn."""
    if not prompt.strip():
        raise InvalidArgument("prompt: expected some text, got none")
    return [{"role": Role.USER.value, "content": prompt}]
