"""Trying a plan's candidates in order, each at most once, with the cost of every attempt written down."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from cortexd.catalog import Catalog
from cortexd.errors import CortexError, NoProviderAvailable, ProviderError, ProviderFailed
from cortexd.ledger import AttemptRecord, Ledger
from cortexd.messages import Answer, Call
from cortexd.providers import Provider
from cortexd.routing import Candidate, Health, Plan, Question

OK = "ok"


@dataclass(frozen=True, slots=True)
class Party:
    """Who takes part in answering: swapped as a whole by a reload, so that a request sees one configuration."""

    providers: Mapping[str, Provider]
    timeouts_s: Mapping[str, float]
    catalog: Catalog


@dataclass(slots=True)
class Attempts:
    """The attempts of one request. `records` holds what each cost, also after a failure or a cancellation."""

    question: Question
    plan: Plan
    party: Party
    ledger: Ledger
    health: Health
    records: list[AttemptRecord] = field(default_factory=list)
    errors: list[ProviderError] = field(default_factory=list)
    _open: tuple[Candidate, float] | None = None

    async def run(self, key: int) -> tuple[Candidate, Answer]:
        """Try the candidates until one answers. Raises ProviderFailed or NoProviderAvailable."""
        for number, candidate in enumerate(self.plan.candidates):
            if number:
                await self.ledger.reserve_more(key, candidate.worst_case_nano)
            answer = await self._try(candidate)
            if answer is not None:
                return candidate, answer
        raise self._all_failed()

    def abandon(self, outcome: str) -> None:
        """Close an attempt that was cut off from our side, at its worst case: the provider may have billed it."""
        if self._open is None:
            return
        candidate, began = self._open
        self._open = None
        self._record(candidate, began, outcome, candidate.worst_case_nano, known=False)

    async def _try(self, candidate: Candidate) -> Answer | None:
        began = time.monotonic()
        self._open = (candidate, began)
        provider = self.party.providers[candidate.provider]
        try:
            answer = await provider.complete(self._call(candidate))
        except ProviderError as error:
            self._open = None
            self._failed(candidate, began, error)
            return None
        self._open = None
        self.health.succeeded(candidate.provider)
        self._answered(candidate, began, answer)
        return answer

    def _call(self, candidate: Candidate) -> Call:
        options = self.question.options
        return Call(
            model=candidate.model,
            messages=self.question.messages,
            timeout_s=self.party.timeouts_s[candidate.provider],
            max_tokens=self.question.max_tokens,
            temperature=options.temperature,
            tools=options.tools,
            tool_choice=options.tool_choice,
            response_schema=options.response_schema,
        )

    def _answered(self, candidate: Candidate, began: float, answer: Answer) -> None:
        cost = None
        if answer.usage is not None:
            cost = self.party.catalog.cost(candidate.provider, candidate.model, answer.usage, self.question.moment)
        amount = candidate.worst_case_nano if cost is None else cost
        self._record(candidate, began, OK, amount, known=cost is not None, answer=answer)

    def _failed(self, candidate: Candidate, began: float, error: ProviderError) -> None:
        # Its frames hold this object and what was read of the answer: a cycle that would keep megabytes.
        error.__traceback__ = error.__context__ = None
        self.errors.append(error)
        # A key that may not use the model of one caller's choice is good for everybody else's.
        if error.status != HTTPStatus.FORBIDDEN or self.question.options.model is None:
            self.health.failed(candidate.provider, error.failure, error.retry_after_ms)
        cost = candidate.worst_case_nano if error.may_have_billed else 0
        self._record(candidate, began, error.failure.value, cost, known=not error.may_have_billed, text=error.message)

    def _record(
        self,
        candidate: Candidate,
        began: float,
        outcome: str,
        cost_nano: int,
        *,
        known: bool,
        answer: Answer | None = None,
        text: str = "",
    ) -> None:
        latency_ms = round((time.monotonic() - began) * 1000)
        usage = answer.usage if answer else None
        self.records.append(
            AttemptRecord(candidate.provider, candidate.model, outcome, cost_nano, known, usage, latency_ms, text)
        )

    def _all_failed(self) -> CortexError:
        waits = [error.retry_after_ms for error in self.errors if error.retry_after_ms is not None]
        details = {"retry_after_ms": min(waits)} if waits else {}
        if len(self.plan.candidates) == 1 and not self.plan.left_out:
            candidate = self.plan.candidates[0]
            return ProviderFailed(f"{candidate.provider} ({candidate.model}) failed: {self.errors[0]}", **details)
        tried = [
            f"{candidate.provider} ({candidate.model}): {error}"
            for candidate, error in zip(self.plan.candidates, self.errors, strict=True)
        ]
        left = [f"{item.provider}: {item.reason}" for item in self.plan.left_out]
        return NoProviderAvailable("; ".join(["no provider answered. " + tried[0], *tried[1:], *left]), **details)
