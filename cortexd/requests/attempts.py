"""Trying a plan's candidates in order, with the cost of every attempt written down.

Each has one turn, or another one at the end where it had no place or nothing was sent; in a turn a provider with
several endpoints may want to be asked again at another one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from cortexd.domain.messages import Answer, Call, OnBreak
from cortexd.domain.racing import quicker
from cortexd.errors import ProviderError
from cortexd.ledger import AttemptRecord, Ledger
from cortexd.privacy import Disguise
from cortexd.providers import Delta, Listener
from cortexd.requests.attempt import Attempt, Turn, Won, call_for
from cortexd.requests.bookkeeping import CANCELLED, Bookkeeping
from cortexd.requests.nobody import all_failed, broke_off
from cortexd.requests.reservation import Reservation
from cortexd.requests.restored import Restoring
from cortexd.requests.setup import Setup
from cortexd.requests.sinks import DeltaSink
from cortexd.routing import (
    Asker,
    Candidate,
    Fallback,
    Health,
    LeftOut,
    Observed,
    Plan,
    Question,
    State,
)
from cortexd.routing.candidates import Field
from cortexd.routing.continuing import Told, ToldSeam, goes_on, to_go_on, wanted
from cortexd.routing.retries import pause_s

_MOST_AGAIN = 3  # further tries at a provider's other endpoints


@dataclass(slots=True)
class Attempts:
    """The attempts of one request of `uid`. `reserved_nano`: for the first candidate. `records` holds what
    each cost, also after a failure or a cancellation. `cut_off`: the last that was under way when we ended it."""

    uid: int
    question: Question
    plan: Plan
    setup: Setup
    ledger: Ledger
    health: Health
    reserved_nano: int
    sink: DeltaSink | None = None
    asked: Callable[[Candidate], None] = lambda _candidate: None
    observed: Observed = field(default_factory=Observed)
    cut_off: Attempt | None = None
    _fallback: Fallback = field(init=False)
    _reservation: Reservation = field(init=False)
    _books: Bookkeeping = field(init=False)
    _told: Told | None = None
    _events: int = 0  # of text and tool calls, told to the stream
    _broke_off: Candidate | None = None
    _last_error: ProviderError | None = None
    _open: list[Attempt] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.sink is not None and self._on_break is OnBreak.CONTINUE:
            self._told = Told(self.setup.config.limits.max_answer_bytes)
        self._fallback = Fallback(self.plan, self.health, self.health.retries)
        self._reservation = Reservation(self.ledger, self.reserved_nano, self.question.options.max_cost_nano)
        self._books = Bookkeeping(self.question, self.plan.wishes, self.setup, self._reservation, self.sink)

    @property
    def records(self) -> list[AttemptRecord]:
        return self._books.records

    async def run(self, key: int) -> tuple[Candidate, Answer]:
        """Try the candidates until one answers. Raises ProviderFailed or NoProviderAvailable."""
        for candidate in self._fallback.turns():
            try:
                won = await self._take_turn(key, candidate)
            except BaseException:
                self._left(candidate)  # wherever it was cut off
                raise
            if won is not None:
                return self._ended(won)
            if self._fails_now:
                raise broke_off(candidate, self._fallback)
        raise all_failed(self._fallback)

    async def _take_turn(self, key: int, candidate: Candidate) -> Won | None:
        if self._fallback.again:
            await asyncio.sleep(pause_s())
        turn = self._turn(candidate)
        if isinstance(turn, LeftOut):
            self._pass_over(candidate, turn.reason)
            return None
        if obstacle := await self._reservation.promise(key, turn.candidate.worst_case_nano):
            self._pass_over(candidate, obstacle)
            return None
        await self._announce(turn)
        return await self._hedged(key, turn)

    def _left(self, candidate: Candidate) -> None:
        self.health.left(candidate.provider, candidate.model, self._fallback.tester)

    def _pass_over(self, candidate: Candidate, reason: str) -> None:
        self._left(candidate)
        self._fallback.skip(candidate, reason)

    def abandon(self, outcome: str) -> None:
        """Close the attempts that were cut off from our side, at the most that they can have cost."""
        while self._open:
            self.cut_off = self._open.pop(0)
            self._abandon(self.cut_off, outcome)

    def _abandon(self, attempt: Attempt, outcome: str) -> None:
        self._left(attempt.candidate)
        self._books.abandoned(attempt, outcome)

    def _ended(self, won: Won) -> tuple[Candidate, Answer]:
        """The answer's attempt is the last, whatever ended beside it."""
        self.abandon(CANCELLED)
        self._books.last(won.record)
        return won.candidate, won.answer

    async def _hedged(self, key: int, turn: Turn) -> Won | None:
        """The turn's answer; or that of the next candidate, where it takes longer than it should and that is wanted."""
        after_s = self._hedge_after_s(turn.candidate)
        if after_s is None:
            return await self._try(key, turn)
        hedges: list[Candidate] = []

        async def second() -> Coroutine[Any, Any, Won | None] | None:
            words = (
                f"asked as well: {turn.candidate.provider} took longer than {after_s:.2g} s, as 5 % of its answers do"
            )
            candidate = await self._reserve_ahead(key)
            if candidate is None:
                return None
            hedges.append(candidate)
            return self._try(key, Turn(candidate, replace(candidate, reason=words), self.question))

        won = await quicker(self._try(key, turn), after_s, second)
        if won is None or not hedges or won.candidate.target == hedges[0].target:
            return won
        words = f"{won.candidate.reason}; {hedges[0].provider} was asked as well after {after_s:.2g} s"
        return won._replace(candidate=replace(won.candidate, reason=words))

    def _hedge_after_s(self, candidate: Candidate) -> float | None:
        """How long to wait for this one alone; None for ever."""
        wish, hedging = self.question.options.hedge, self.health.hedging
        wanted_at_all = self.setup.config.routing.hedge if wish is None else wish
        if self.sink is not None or self._fallback.failures or not wanted_at_all:
            return None
        hedging.called()
        return hedging.after_s(candidate.provider, candidate.model)

    async def _reserve_ahead(self, key: int) -> Candidate | None:
        """The next candidate with its money reserved; None where it may not be asked now. It keeps its turn then."""
        candidate = self._fallback.ahead()
        if candidate is None:
            return None
        well = self.health.state(candidate.provider, candidate.model) is State.OK
        if not (well and self.health.hedging.allows()):
            return None
        if await self._reservation.promise(key, candidate.worst_case_nano):
            return None
        if not self._open:  # the slow one has ended meanwhile
            self._reservation.take_back(candidate.worst_case_nano)
            return None
        self._fallback.take_ahead()
        return candidate

    @property
    def _on_break(self) -> OnBreak:
        return wanted(self.question, self.plan.wishes.on_break, self.setup.config.routing.on_break)

    @property
    def _spoke(self) -> bool:
        """Whether the stream's reader has been told anything of the answer that counts."""
        return self.sink is not None and self.sink.spoke

    @property
    def _fails_now(self) -> bool:
        """Whether nobody else is to be asked after a failure, since the reader has been told something."""
        return self._spoke and self._on_break is OnBreak.FAIL

    def _turn(self, planned: Candidate) -> Turn | LeftOut:
        """What the candidate is asked; or why it cannot go on with what was told."""
        told = self._told
        if told is None or self._broke_off is None or not goes_on(told, self.question):
            return Turn(planned, planned, self.question)
        question, cut = to_go_on(self.question, told, planned)
        field = Field.of(question, self.setup.config, self.setup.catalog, self.health, self.plan.wishes)
        made = field.again(planned, f"goes on where {self._broke_off.provider} broke off")
        return made if isinstance(made, LeftOut) else Turn(planned, made, question, cut)

    async def _announce(self, turn: Turn) -> None:
        """Tell the stream of another attempt, where it has heard of one before."""
        candidate = turn.candidate
        if self.sink is not None and self._spoke:
            tell = self.sink.fallback if turn.cut is None else self.sink.continued
            await tell(candidate.provider, candidate.model, str(self._last_error))
        if self._told is not None and turn.cut is None:
            self._told.forget()

    async def _tell(self, deltas: Sequence[Delta]) -> None:
        assert self.sink is not None
        if self._told is not None:
            self._told.take(deltas)
        self._events += 1
        await self.sink.deltas(deltas)

    async def _try(self, key: int, turn: Turn) -> Won | None:
        """The candidate's answer; None once it has failed, at each endpoint that it wants to be asked at."""
        planned, avoids = turn.planned, frozenset[str]()
        while True:
            told_before = self._events
            ended = await self._try_endpoint(turn, avoids)
            if not isinstance(ended, ProviderError):
                return ended
            broke, avoids = self._events > told_before, avoids | {ended.again}
            self._last_error, self._broke_off = ended, turn.planned if broke else self._broke_off
            asks_again = ended.again and len(avoids) <= _MOST_AGAIN
            again = await self._again(key, turn, broke=broke) if asks_again else None
            if again is None:
                asker = Asker(self.uid, hash(self.question.messages))
                self._fallback.failed(planned, ended, asker, chosen=self._chose_model(planned))
                return None
            turn = again

    async def _again(self, key: int, turn: Turn, *, broke: bool) -> Turn | None:
        """What another endpoint of the same provider is asked; `broke`: this one after it was heard. None where it
        cannot be."""
        again = self._turn(turn.planned) if broke else turn
        if (broke and self._fails_now) or isinstance(again, LeftOut):
            return None
        if obstacle := await self._reservation.promise(key, again.candidate.worst_case_nano):
            self._fallback.skip(turn.planned, obstacle)
            return None
        if broke:
            await self._announce(again)
        return again

    async def _try_endpoint(self, turn: Turn, avoids: frozenset[str]) -> Won | ProviderError:
        """The answer, or the error of an attempt that is booked."""
        candidate = turn.candidate
        hear = None if self.sink is None else self._tell
        seam = None
        if self._told is not None and turn.cut is not None:
            seam = ToldSeam(self._told.text, turn.cut, self._tell)
            hear = seam.hear
        disguise = self._disguise(candidate, turn.question)
        restoring = None if disguise is None else Restoring(disguise, hear, self.setup.config.limits.max_answer_bytes)
        listener = Listener(hear if restoring is None else restoring.hear)
        listener.waits = partial(self.health.loading, candidate.provider)
        attempt = Attempt(candidate, turn.question, listener, self.health.now())
        self._open.append(attempt)
        self.asked(candidate)
        was_ready = self.setup.providers[candidate.provider].ready
        try:
            call = call_for(
                attempt,
                disguise,
                self.setup,
                self.uid,
                local_only=self._local_only,
                avoids=avoids,
                waits=self._fallback.waits(candidate),
            )
            attempt.raw = call.raw is not None
            with self.observed.asking(candidate.provider, candidate.model) as among:
                answer = await self._answer(attempt, call, restoring)
            if seam is not None and self._told is not None:
                await seam.rest()
                answer = seam.answer(answer, self._told.first_ms)
        except ProviderError as error:
            self._open.remove(attempt)
            self._failed(attempt, error)
            return error
        self._open.remove(attempt)
        timed = (
            was_ready and not self._books.behind
        )  # loading its library, or a slow reader, is not the provider's latency
        record = self._books.answered(attempt, answer.usage, timed=timed)
        self._fallback.answered(candidate, uid=self.uid, began=attempt.asked_at)
        self.observed.noted(record.learnt(self.question.task_type, time.time()), among)
        if timed:
            self.health.hedging.answered(candidate.provider, candidate.model, time.monotonic() - attempt.began)
        return Won(candidate, answer, record)

    async def _answer(self, attempt: Attempt, call: Call, restoring: Restoring | None) -> Answer:
        """The candidate's answer; with the secrets in it where it got placeholders, which are all told by then."""
        provider = self.setup.providers[attempt.candidate.provider]
        if restoring is None:
            return await provider.complete(call, attempt.listener)
        try:
            answer = await provider.complete(call, attempt.listener)
        except ProviderError:
            if self._told is None:  # half a placeholder is no text to go on with
                await restoring.rest()
            raise
        await restoring.rest()
        return restoring.answer(answer)

    def _disguise(self, candidate: Candidate, question: Question) -> Disguise | None:
        """What the candidate gets in place of the request; None where it may know all of it."""
        local = self.setup.config.providers[candidate.provider].local or self._local_only
        return None if local else question.guard.disguise

    @property
    def _local_only(self) -> bool:
        """Whether only local endpoints may have the request, whatever others its provider has."""
        return self.question.local_only or self.plan.wishes.local_only

    def _failed(self, attempt: Attempt, error: ProviderError) -> None:
        if self._told is not None and self._told.first_ms is None and attempt.listener.first_at is not None:
            self._told.first_ms = round((attempt.listener.first_at - attempt.began) * 1000)
        # Its frames hold this object and what was read of the answer: a cycle that would keep megabytes.
        error.__traceback__ = error.__context__ = None
        self._books.failed(attempt, error)

    def _chose_model(self, candidate: Candidate) -> bool:
        """Whether the caller named this model, which is not the one that everybody gets."""
        default = self.setup.config.providers[candidate.provider].model
        return candidate.model == self.question.options.model != default
