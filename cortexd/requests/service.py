"""A request's life, in order. Knows no D-Bus type: bus/ calls it, and it tells what happened through a callback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from cortexd.access import Admission, Place
from cortexd.accounts.accounts import Accounts
from cortexd.accounts.allowances import Allowances
from cortexd.accounts.holds import HoldEnd, Holds, HoldView
from cortexd.accounts.learned import LearnedKeeping
from cortexd.authority import Action, Authorizer, Caller, action_for
from cortexd.catalog import Catalog
from cortexd.config import Config
from cortexd.domain.messages import Role, stricter
from cortexd.domain.own_cap import OwnCap
from cortexd.domain.tasks import TaskType
from cortexd.errors import BudgetExceeded, Cancelled, RequestNotFound, ShuttingDown, Timeout
from cortexd.ledger import Ledger, Limit, LimitOverride, Totals
from cortexd.pool import ReplicaView
from cortexd.requests.answers.cache import AnswerCache
from cortexd.requests.asking import Asking
from cortexd.requests.earlier import Earlier
from cortexd.requests.events import CostEvent
from cortexd.requests.execution import Execution
from cortexd.requests.in_flight import InFlight, Running, Ticket
from cortexd.requests.inspection import Inspection
from cortexd.requests.intake import Request, take_in
from cortexd.requests.outcomes import Outcomes
from cortexd.requests.planning import Planning
from cortexd.requests.raw import take_in_raw
from cortexd.requests.results import Completion, Condition, Decision, held_bytes
from cortexd.requests.setup import Setup
from cortexd.requests.sinks import SharedSink, Sink
from cortexd.requests.streams import Streams
from cortexd.routing import NOT_COUNTED, Counted, Health, Learner, Observed, Plan, Question, State


class Service:
    """Everything the daemon does for its callers, under one configuration at a time."""

    def __init__(
        self,
        setup: Setup,
        ledger: Ledger,
        authorizer: Authorizer,
        health: Health,
        tell: Callable[[CostEvent], None],
        on_activity: Callable[[], None] = lambda: None,
        overrides: Mapping[Any, LimitOverride] | None = None,
        observed: Observed | None = None,
        asking: Asking | None = None,
        learner: Learner | None = None,
        own_caps: Mapping[int, OwnCap] | None = None,
        tell_hold: Callable[[HoldView | HoldEnd], None] = lambda _hold: None,
    ) -> None:
        self._ledger = ledger
        self._authorizer = authorizer
        self._tell = tell
        self.health = health
        self.observed = observed or Observed()
        self.learner = learner or Learner()
        self.accounts = Accounts(ledger, authorizer, setup.config.budgets, overrides or {}, own_caps or {})
        self.holds = Holds(self.accounts.own_caps, tell_hold)
        self.learned = LearnedKeeping(ledger, self.learner)
        self.allowances = Allowances(setup.config.routing.allowed)
        self._in_flight: InFlight[Completion] = InFlight(held_bytes, on_activity)
        self._earlier = Earlier(self._in_flight, ledger)
        self._cache: AnswerCache[Completion] = AnswerCache(held_bytes)
        self._planning = Planning(
            lambda: self.setup, self.accounts, self.allowances, health, self.observed, self.learner, asking
        )
        self._inspection = Inspection(self._planning.sessions)
        self.outcomes = Outcomes(ledger, self.learner, setup.config, self.observed)
        self._admission = Admission(setup.config.limits)
        self._streams = Streams()
        self._closing = False
        self._began = time.monotonic()
        self.adopt(setup)

    def adopt(self, setup: Setup) -> None:
        """Take another configuration; requests under way finish under theirs."""
        self.setup = setup
        config = setup.config
        self._admission.limits = config.limits
        self._earlier.adopt(config.limits.max_queued_requests_per_user)
        self._inspection.adopt(config.limits.max_active_requests_per_user)
        self.accounts.adopt(config.budgets)
        self.allowances.adopt(config.routing.allowed)
        self._cache.adopt(config.cache)
        self.outcomes.adopt(config)

    def refine(self, setup: Setup) -> None:
        """Take the same configuration, with more known of its models."""
        self.setup = setup

    async def end_requests(self, uid: int) -> None:
        """Cancel all that is under way for `uid`; returns once it is settled."""
        await self._in_flight.end(uid)

    def forget(self, uid: int) -> None:
        """`uid` is another user's now: what is at hand of the former one goes."""
        self.accounts.forget(uid)
        self.holds.forget(uid)
        self._in_flight.forget(uid)
        self._cache.forget(uid)
        self._planning.forget(uid)
        self.outcomes.forget(uid)

    @property
    def config(self) -> Config:
        return self.setup.config

    @property
    def catalog(self) -> Catalog:
        return self.setup.catalog

    @property
    def active_requests(self) -> int:
        return len(self._in_flight)

    @property
    def condition(self) -> Condition:
        configured = [name for name, item in self.config.providers.items() if item.configured]
        return Condition(
            uptime_s=int(time.monotonic() - self._began),
            active_requests=self.active_requests,
            queued_requests=self._admission.waiting,
            ledger=self._ledger.state,
            providers={name: self.health.state(name) is not State.OPEN for name in configured},
            replicas={name: views for name in configured if (views := self.replicas(name))},
        )

    def replicas(self, provider: str) -> tuple[ReplicaView, ...]:
        """How each of its endpoints is, where they are watched one by one."""
        return self.setup.replicas(provider)

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    @property
    def totals(self) -> Totals:
        return self._ledger.totals

    async def complete(self, caller: Caller, task_type: str, messages: object, options: object) -> Completion:
        """Answer one request: decode, admit, authorise, route, reserve, try, settle, tell."""
        return await self.answer(self.decode(caller, task_type, messages, options))

    async def stream(self, request: Request, sink: Sink) -> asyncio.Task[None]:
        """Begin to answer a decoded request into `sink`; returns once the money is reserved. Raises what fails until
        then.

        The task feeds the sink and closes it; cancelling the task, as when the reader has gone, cancels the request,
        unless another call has joined it.
        """
        caller = request.caller
        with self._streams.opening(caller.uid, self.config.limits.max_streams_per_user):
            answer, running = await self._given_before(request), None
            if answer is None:
                answer, running = await self._begin(request, sink)
            leave = None if running is None else running.reader_left
            return self._streams.feed(caller.uid, answer, leave, sink)

    async def answer(self, request: Request, *, authorised: bool = False) -> Completion:
        """The answer to a decoded request. `authorised`: the caller was, for this very request."""
        answer = await self._given_before(request)
        if answer is None:
            answer, _ = await self._begin(request, authorised=authorised)
        return await answer

    def cancel(self, caller: Caller, request_id: str) -> None:
        """End one of the caller's own requests. Raises RequestNotFound."""
        if not self._in_flight.cancel((caller.uid, request_id)):
            raise RequestNotFound("You have no request with that id waiting or under way.")

    def requests(self, caller: Caller) -> list[Ticket]:
        """The caller's own requests that are waiting or under way, oldest first."""
        return self._in_flight.tickets(caller.uid)

    async def route(self, caller: Caller, task_type: str, messages: object, options: object) -> Decision:
        """What `complete` would do, spending nothing and asking nobody."""
        request = self.decode(caller, task_type, messages, options, dry_run=True)
        question = await self._guarded(request, dry_run=True)
        await self.models_shown()
        plan = await self._planning.route(caller, question, dry_run=True)
        return Decision(question, plan, self.action(question).value)

    async def verify_provider(self, caller: Caller, name: str) -> Completion:
        """One smallest request to `name`, at the caller's cost; whoever may manage needs no other authorization."""
        options = {"provider": name, "fallback": False, "max_tokens": 16, "deadline_ms": 60_000}
        messages = [{"role": Role.USER.value, "content": "Answer with the word OK."}]
        request = self.decode(caller, TaskType.USER_CHAT.value, messages, options)
        return await self.answer(replace(request, unrestricted=True), authorised=True)

    async def outlive_requests(self) -> None:
        """Return when every request that is under way now has ended."""
        await self._in_flight.outlive()

    async def close(self, drain_timeout_s: float) -> bool:
        """Refuse new requests and wait for those under way. True if none had to be cancelled."""
        self._closing = True
        self.holds.close()
        drained = await self._in_flight.drain(drain_timeout_s)
        await self._streams.close()
        await self.outcomes.close()
        return drained

    def refuse_when_closing(self) -> None:
        if self._closing:
            raise ShuttingDown("cortexd is shutting down. Try again in a moment.", retry_after_ms=1000)

    def decode(
        self, caller: Caller, task_type: str, messages: object, options: object, *, dry_run: bool = False
    ) -> Request:
        """A checked request. Raises InvalidArgument and its kin, TooLarge or ShuttingDown."""
        self.refuse_when_closing()
        return take_in(caller, task_type, messages, options, self.config.limits, dry_run=dry_run)

    def decode_raw(
        self, caller: Caller, form: str, task_type: str, body: str, options: object, *, stream: bool
    ) -> Request:
        """The same of a request in a vendor's own words."""
        self.refuse_when_closing()
        return take_in_raw(caller, form, task_type, body, options, self.config.limits, stream=stream)

    def action(self, question: Question) -> Action:
        """The polkit action that a request needs."""
        return action_for(question.task_type, question.options, self.config.authorization, question.offers_tools)

    async def _begin(
        self, request: Request, sink: Sink | None = None, *, authorised: bool = False
    ) -> tuple[Awaitable[Completion], Running[Completion] | None]:
        """Admit, authorise and route a request and start its work; its answer, and the work where it is its own.

        With a sink it returns once the money is reserved.
        """
        ticket = Ticket(request.key, request.question.task_type, request.chosen, request.deadline_s)
        with self._in_flight.arrived(ticket):
            place = await self._admit(request)
            try:
                ticket.state = "authorizing"
                if not authorised:
                    await self._authorize(request)
                limits = await self.accounts.limits(request.caller, request.app)
                guarded = await self._guarded(request)
                if guarded is not request.question:
                    request = replace(request, question=guarded)
                # last: from here to the start of the work nothing waits, so that both know the same configuration
                plan = await self._planning.of(request, limits)
                self.refuse_when_closing()
                held = self._held(request)  # the same request may have begun while polkit was asked
            except BaseException:
                place.free()
                raise
        if held is not None:
            place.free()
            return held, None
        execution = self._execution(request, ticket, plan, limits, sink)
        if sink is None and not request.chosen:
            return self._alone(execution, place), None
        reserved = execution.reserved = None if sink is None else asyncio.get_running_loop().create_future()
        running = self._start(execution, place)
        if reserved is not None:
            ticket.state = "streaming"
            await running.until(reserved)
        return running.wait(), running

    async def _alone(self, execution: Execution, place: Place) -> Completion:
        """The answer to a request for which nobody can come again, in the task of whoever waits for it."""
        try:
            return await self._in_flight.alone(execution.ticket, self._live(execution))
        finally:
            self._ended(place, execution)

    def _start(self, execution: Execution, place: Place) -> Running[Completion]:
        """Begin the request's own task."""
        request = execution.request
        running = self._in_flight.start(execution.ticket, request.content_hash, self._live(execution))
        request.caller.needed_by(running.task)
        running.task.add_done_callback(lambda _task: self._ended(place, execution))
        return running

    @staticmethod
    def _ended(place: Place, execution: Execution) -> None:
        place.free()
        execution.give_counted_back()

    def _execution(
        self, request: Request, ticket: Ticket, plan: Plan, limits: tuple[Limit, ...], sink: Sink | None
    ) -> Execution:
        asks_cache = request.question.options.cache
        return Execution(
            request,
            ticket,
            plan,
            self.setup,
            self._ledger,
            self.health,
            self._settled,
            lambda: self.accounts.limits(request.caller, request.app),
            limits,
            self._planning.cheaper(request, plan),
            self.holds,
            None if sink is None else SharedSink(sink, lambda: ticket.joined > 0),
            ("cache",) if asks_cache and not self.config.cache.enabled else (),
            observed=self.observed,
            counted=self._counted(request.question, plan),
        )

    def _counted(self, question: Question, plan: Plan) -> Counted:
        """What the learner's decision counts for, where there was one."""
        made = plan.learning
        return NOT_COUNTED if made is None else self.learner.took(question.task_type, made.standings, made.decided.mode)

    async def _live(self, execution: Execution) -> Completion:
        """The request's work: from the cache where it may, and else paid for."""
        request = execution.request
        from_cache = request.question.options.cache and execution.setup.config.cache.enabled
        try:
            completion = await (execution.run_or_give_again(self._cache) if from_cache else execution.run())
        except BudgetExceeded:
            self._admission.cost_nothing(request.caller.uid)
            raise
        except Cancelled:
            self.outcomes.left(request, execution.cut_off)
            raise
        self.outcomes.answered(request, completion)
        self._planning.answered(request, execution.plan, completion)
        return completion

    def _settled(self, event: CostEvent) -> None:
        if not event.settled.cost_nano:
            self._admission.cost_nothing(event.uid)
        self._tell(event)

    async def _admit(self, request: Request) -> Place:
        try:
            return await self._admission.enter(request.caller.uid, request.left_s)
        except TimeoutError:
            raise request.timeout() from None

    async def authorize(self, caller: Caller, action: Action, task_types: tuple[TaskType, ...]) -> None:
        """Ask polkit about a batch, within the caller's places. Raises AccessDenied and its kin, or Timeout."""
        wait_s = self.config.limits.default_deadline_ms / 1000
        try:
            async with asyncio.timeout(wait_s), self._admission.slot(caller.uid):
                await self._authorizer.authorize(caller, action, task_types)
        except TimeoutError:
            raise Timeout(f"No place became free within {wait_s:g} s. End some of your requests.") from None

    async def _guarded(self, request: Request, *, dry_run: bool = False) -> Question:
        """The request's question with what its secrets ask for, by the settings that hold at the end of the search."""
        uid, question = request.caller.uid, request.question
        wished = (await self.accounts.wishes(uid)).secrets
        policy = self.config.privacy.secrets
        if not self._inspection.looks(uid, question, stricter(policy, wished)):
            return question
        try:
            async with asyncio.timeout(request.left_s):
                guarded = await self._inspection.guarded(uid, question, stricter(policy, wished), dry_run=dry_run)
        except TimeoutError:
            raise request.timeout() from None
        if policy is not self.config.privacy.secrets:  # a reload while a long text was looked through
            return await self._guarded(request, dry_run=dry_run)
        return guarded

    async def _authorize(self, request: Request) -> None:
        question = request.question
        await self._authorizer.authorize(request.caller, self.action(question), (question.task_type,))

    async def models_shown(self) -> None:
        """Wait a moment for servers that have not said yet which models they have."""
        await self._planning.models_shown()

    async def _given_before(self, request: Request) -> Awaitable[Completion] | None:
        """The answer of an earlier call with the same chosen id: under way, kept, or gone (AnswerExpired)."""
        return self._granted(request, await self._earlier.find(request))

    def _held(self, request: Request) -> Awaitable[Completion] | None:
        """The same, as far as this process has it."""
        return self._granted(request, self._earlier.held(request))

    def _granted(self, request: Request, answer: Awaitable[Completion] | None) -> Awaitable[Completion] | None:
        """The user was authorised for an answer when it was begun: fetching it needs no second check."""
        if answer is not None:
            request.caller.granted.add(self.action(request.question))
        return answer
