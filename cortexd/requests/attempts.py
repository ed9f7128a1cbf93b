"""Trying a plan's candidates in order, with the cost of every attempt written down.

Each has one turn, or another one at the end where it had no place or nothing was sent; in a turn a provider with
several endpoints may want to be asked again at another one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from cortexd.domain.messages import Answer, Call, OnBreak, Usage
from cortexd.errors import (
    CortexError,
    Detail,
    Failure,
    NoProviderAvailable,
    ProviderError,
    ProviderFailed,
    tried_detail,
)
from cortexd.ledger import AttemptRecord, Ledger, OverBudget
from cortexd.pool import affinity_of
from cortexd.privacy import Disguise
from cortexd.providers import Delta, EmptyAnswer, Listener
from cortexd.requests.continuing import Seam, Told, goes_on, to_go_on, wanted
from cortexd.requests.restored import Restoring
from cortexd.requests.setup import Setup
from cortexd.requests.sinks import DeltaSink
from cortexd.routing import Asker, Candidate, Fallback, Health, Observed, Plan, Question
from cortexd.routing.candidates import Field
from cortexd.routing.retries import pause_s

OK = "ok"
# What a provider may have generated beyond what has arrived, when it is cut off: what is on its way, and what it made
# while nothing came, or while a slow reader kept us from looking (max_tokens_per_s).
_AHEAD_TOKENS = 256
_MOST_AGAIN = 3  # further tries at a provider's other endpoints


class _Turn(NamedTuple):
    """Whom to ask what. `cut`: None where the answer begins anew; else it goes on with what was told, the end of which
    may be unknown to this one."""

    candidate: Candidate
    question: Question
    cut: str | None = None


@dataclass(slots=True)
class _Attempt:
    """`asked_at`: on Health's clock."""

    candidate: Candidate
    question: Question
    listener: Listener
    asked_at: float
    began: float = field(default_factory=time.monotonic)

    @property
    def usage(self) -> Usage | None:
        """What the provider had counted when it was cut off."""
        return self.listener.usage

    def ahead_tokens(self, per_s: int) -> int:
        """The most that the provider can have made that has not arrived, at `per_s` tokens a second."""
        silent_s = time.monotonic() - (self.listener.grown_at or self.began)
        return _AHEAD_TOKENS + round((silent_s + self.listener.heard_s) * per_s)


@dataclass(slots=True)
class Attempts:
    """The attempts of one request of `uid`. `records` holds what each cost, also after a failure or a cancellation."""

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
    records: list[AttemptRecord] = field(default_factory=list)
    _fallback: Fallback = field(init=False)
    _told: Told | None = None
    _open: _Attempt | None = None

    def __post_init__(self) -> None:
        if self.sink is not None and self._on_break is OnBreak.CONTINUE:
            self._told = Told(self.setup.config.limits.max_answer_bytes)
        self._fallback = Fallback(self.plan, self.health, self.health.retries)

    async def run(self, key: int) -> tuple[Candidate, Answer]:
        """Try the candidates until one answers. Raises ProviderFailed or NoProviderAvailable."""
        for candidate in self._fallback.turns():
            if self._fallback.again:
                await asyncio.sleep(pause_s())
            turn = self._turn(candidate)
            if turn is None or not await self._prepare(key, turn):
                continue
            answer = await self._try_endpoints(key, turn)
            if answer is not None:
                return turn.candidate, answer
            if self._spoke and self._on_break is OnBreak.FAIL:
                raise self._broke_off(candidate)
        raise self._all_failed()

    def abandon(self, outcome: str) -> None:
        """Close an attempt that was cut off from our side, at the most it can have cost."""
        if self._open is None:
            return
        attempt, self._open = self._open, None
        self.health.left(attempt.candidate.provider, attempt.candidate.model)
        if self.setup.providers[attempt.candidate.provider].ready and not attempt.listener.unsent:
            self._record(attempt, outcome, self._most(attempt, cut_off=True), known=False, usage=attempt.usage)
        else:
            self._record(attempt, outcome, 0, known=True, usage=None)

    @property
    def _on_break(self) -> OnBreak:
        return wanted(self.question, self.setup.config.routing.on_break)

    @property
    def _spoke(self) -> bool:
        """Whether the stream's reader has been told anything of the answer that counts."""
        return self.sink is not None and self.sink.spoke

    def _turn(self, candidate: Candidate) -> _Turn | None:
        """What the candidate is asked; None where it cannot go on with what was told."""
        told = self._told
        if told is None or not (self._spoke and goes_on(told, self.question)):
            return _Turn(candidate, self.question)
        question, cut = to_go_on(self.question, told, candidate)
        field = Field.of(question, self.setup.config, self.setup.catalog, self.health, self.plan.wishes)
        made = field.again(candidate, f"goes on where {self._fallback.failures[-1][0].provider} broke off")
        if isinstance(made, Candidate):
            return _Turn(made, question, cut)
        self.health.left(candidate.provider, candidate.model)
        self._fallback.skip(candidate, made.reason)
        return None

    async def _try_endpoints(self, key: int, turn: _Turn) -> Answer | None:
        """The candidate's answer; None once it has failed, at each endpoint that it wants to be asked at."""
        candidate = turn.candidate
        avoids: frozenset[str] = frozenset()
        while True:
            answer, error = await self._try(turn, avoids)
            if error is None:
                return answer
            avoids |= {error.again}
            if not error.again or len(avoids) > _MOST_AGAIN or not await self._reserve_next(key, candidate):
                self._fallback.failed(
                    candidate,
                    error,
                    Asker(self.uid, hash(self.question.messages)),
                    chosen=self._chose_model(candidate),
                )
                return None

    async def _prepare(self, key: int, turn: _Turn) -> bool:
        """Reserve what an attempt may cost, and tell the stream of it. False where no budget has room for it."""
        candidate = turn.candidate
        if not await self._reserve_next(key, candidate):
            self.health.left(candidate.provider, candidate.model)
            self._fallback.skip(candidate, "a budget has no room for it")
            return False
        if self.sink is not None and self._spoke:
            tell = self.sink.fallback if turn.cut is None else self.sink.continued
            await tell(candidate.provider, candidate.model, str(self._fallback.failures[-1][1]))
        if self._told is not None and turn.cut is None:
            self._told.forget()
        return True

    async def _reserve_next(self, key: int, candidate: Candidate) -> bool:
        """What a further attempt may cost beyond what is held. False where a budget has no room for it."""
        spent = sum(record.cost_nano for record in self.records)
        more = spent + candidate.worst_case_nano - self.reserved_nano
        if more > 0:
            try:
                await self.ledger.reserve_more(key, more)
            except OverBudget:
                return False
            self.reserved_nano += more
        return True

    async def _tell(self, deltas: Sequence[Delta]) -> None:
        assert self.sink is not None
        if self._told is not None:
            self._told.take(deltas)
        await self.sink.deltas(deltas)

    async def _try(self, turn: _Turn, avoids: frozenset[str]) -> tuple[Answer | None, ProviderError | None]:
        """The answer, or the error of an attempt that is booked."""
        candidate = turn.candidate
        hear = None if self.sink is None else self._tell
        seam = None
        if self._told is not None and turn.cut is not None:
            seam = Seam(self._told.text, turn.cut, self._tell)
            hear = seam.hear
        disguise = self._disguise(candidate, turn.question)
        restoring = None if disguise is None else Restoring(disguise, hear, self.setup.config.limits.max_answer_bytes)
        listener = Listener(hear if restoring is None else restoring.hear)
        listener.waits = partial(self.health.loading, candidate.provider)
        attempt = self._open = _Attempt(candidate, turn.question, listener, self.health.now())
        self.asked(candidate)
        was_ready = self.setup.providers[candidate.provider].ready
        try:
            answer = await self._answer(attempt, self._call(attempt, disguise, avoids), restoring)
            if seam is not None and self._told is not None:
                await seam.rest()
                answer = seam.answer(answer, self._told.first_ms)
        except ProviderError as error:
            self._open = None
            self._failed(attempt, error)
            return None, error
        self._open = None
        self._answered(attempt, answer)
        self._fallback.answered(candidate, uid=self.uid, began=attempt.asked_at)
        if was_ready and not self._behind():  # loading its library, or a slow reader, is not the provider's latency
            tokens = answer.usage.output_tokens if answer.usage else 0
            self.observed.answered(
                candidate.provider, candidate.model, (time.monotonic() - attempt.began) * 1000, tokens
            )
        return answer, None

    async def _answer(self, attempt: _Attempt, call: Call, restoring: Restoring | None) -> Answer:
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

    def _most(self, attempt: _Attempt, *, cut_off: bool = False) -> int:
        """The most that an attempt without an end can have cost, in nano-dollars.

        What has arrived of a stream bounds it: no tokenizer makes more tokens than bytes. What the provider has
        reported is owed, also above the worst case. A stream that we `cut_off` is bounded by its time where nothing
        had come, or nothing was read: a shell that asks for one leaves at once.
        """
        candidate, listener = attempt.candidate, attempt.listener
        if not listener.streamed:
            return candidate.worst_case_nano
        if not cut_off and (self._behind() or (listener.usage is None and listener.first_at is None)):
            return candidate.worst_case_nano
        said = listener.usage or Usage()
        model = self.setup.catalog.model(candidate.provider, candidate.model)
        prompt = said.input_tokens or attempt.question.size().most_tokens(model)
        per_s = self.setup.config.providers[candidate.provider].max_tokens_per_s
        output = max(said.output_tokens, listener.output_bytes) + attempt.ahead_tokens(per_s)
        bound = min(output, candidate.max_tokens or output)
        moment = self.question.moment
        most = self.setup.catalog.worst_case(candidate.provider, candidate.model, prompt, moment, bound)
        owed = self.setup.catalog.cost(candidate.provider, candidate.model, said, moment) or 0
        return max(owed, min(most, candidate.worst_case_nano))

    def _most_of(self, attempt: _Attempt) -> int:
        """The most that an answer without a known cost can have cost: what has arrived of it, unless what was said of
        its usage cannot be."""
        candidate, listener = attempt.candidate, attempt.listener
        if listener.reported:
            return candidate.worst_case_nano
        catalog, moment = self.setup.catalog, self.question.moment
        prompt = attempt.question.size().most_tokens(catalog.model(candidate.provider, candidate.model))
        most = catalog.worst_case(candidate.provider, candidate.model, prompt, moment, listener.output_bytes)
        return min(most, candidate.worst_case_nano)

    def _behind(self) -> bool:
        """Whether the reader was waited for at the end: nobody knows then how far the provider had come."""
        return self.sink is not None and self.sink.behind

    @property
    def _local_only(self) -> bool:
        """Whether only local endpoints may have the request, whatever others its provider has."""
        return self.question.local_only or self.plan.wishes.local_only

    def _call(self, attempt: _Attempt, disguise: Disguise | None, avoids: frozenset[str]) -> Call:
        candidate, options = attempt.candidate, attempt.question.options
        settings = self.setup.config.providers[candidate.provider]
        messages = attempt.question.messages if disguise is None else disguise.messages
        return Call(
            model=candidate.model,
            messages=messages,
            timeout_s=settings.timeout_s,
            max_tokens=candidate.max_tokens,
            temperature=options.temperature,
            tools=options.tools if disguise is None else disguise.tools,
            tool_choice=options.tool_choice,
            response_schema=options.response_schema if disguise is None else disguise.response_schema,
            first_token_timeout_s=settings.first_token_timeout_s,
            affinity=affinity_of(self.uid, options.session, messages) if settings.replicas else "",
            local_only=self._local_only,
            avoids=avoids,
            waits=self._fallback.waits(candidate),
        )

    def _answered(self, attempt: _Attempt, answer: Answer) -> None:
        cost = self._cost(attempt.candidate, answer.usage)
        amount = self._most_of(attempt) if cost is None else cost
        self._record(attempt, OK, amount, known=cost is not None, usage=answer.usage)

    def _cost(self, candidate: Candidate, usage: Usage | None) -> int | None:
        """Of a whole answer, in nano-dollars; None where it is not known."""
        if usage is None:
            return None
        return self.setup.catalog.cost(candidate.provider, candidate.model, usage, self.question.moment)

    def _failed(self, attempt: _Attempt, error: ProviderError) -> None:
        candidate = attempt.candidate
        if self._told is not None and self._told.first_ms is None and attempt.listener.first_at is not None:
            self._told.first_ms = round((attempt.listener.first_at - attempt.began) * 1000)
        # Its frames hold this object and what was read of the answer: a cycle that would keep megabytes.
        error.__traceback__ = error.__context__ = None
        cost, usage = (None, attempt.usage) if error.may_have_billed else (0, None)
        if isinstance(error, EmptyAnswer) and error.usage is not None:
            cost, usage = self._cost(candidate, error.usage), error.usage
        hung_up = error.failure is Failure.SILENT
        amount = self._most(attempt, cut_off=hung_up) if cost is None else cost
        self._record(attempt, error.failure.value, amount, known=cost is not None, usage=usage, text=error.message)

    def _chose_model(self, candidate: Candidate) -> bool:
        """Whether the caller named this model, which is not the one that everybody gets."""
        default = self.setup.config.providers[candidate.provider].model
        return candidate.model == self.question.options.model != default

    def _record(
        self,
        attempt: _Attempt,
        outcome: str,
        cost_nano: int,
        *,
        known: bool,
        usage: Usage | None,
        text: str = "",
    ) -> None:
        candidate = attempt.candidate
        latency_ms = round((time.monotonic() - attempt.began) * 1000)
        known = known or not (cost_nano or candidate.worst_case_nano)  # what is free, however it ended
        self.records.append(
            AttemptRecord(candidate.provider, candidate.model, outcome, cost_nano, known, usage, latency_ms, text)
        )

    def _broke_off(self, candidate: Candidate) -> CortexError:
        """Nobody else is to be asked."""
        error = self._fallback.failures[-1][1]
        words = f"{candidate.provider} ({candidate.model}) failed in the middle of its answer: {error}"
        return ProviderFailed(words, **self._failures())

    def _failures(self) -> dict[str, Detail]:
        tried = tried_detail((item.provider, error.failure) for item, error in self._fallback.failures)
        wait = self._fallback.retry_after_ms
        return {"tried": tried} if wait is None else {"tried": tried, "retry_after_ms": wait}

    def _all_failed(self) -> CortexError:
        details = self._failures()
        if len(self.plan.candidates) == 1 and not self.plan.left_out:
            candidate, error = self._fallback.failures[-1]
            return ProviderFailed(f"{candidate.provider} ({candidate.model}) failed: {error}", **details)
        not_tried = (*self._fallback.skipped, *self.plan.left_out)
        left = [f"{item.provider}: {item.reason}" for item in not_tried]
        if not_tried:
            details["left_out"] = ",".join(item.provider for item in not_tried)
        return NoProviderAvailable("No provider answered. " + "; ".join([*self._fallback.said(), *left]), **details)
