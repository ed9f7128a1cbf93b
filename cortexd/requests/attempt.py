"""One attempt at one provider: what it is asked, what is heard of it, and the most that it can have cost where nobody
says."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NamedTuple

from cortexd.domain.messages import Answer, Call, Usage
from cortexd.ledger import AttemptRecord
from cortexd.pool import affinity_of
from cortexd.privacy import Disguise
from cortexd.providers import Listener
from cortexd.requests.raw import raw_call, silence_s
from cortexd.requests.setup import Setup
from cortexd.routing import Candidate, Question

# What a provider may have generated beyond what has arrived, when it is cut off: what is on its way, and what it made
# while nothing came, or while a slow reader kept us from looking (max_tokens_per_s).
_AHEAD_TOKENS = 256


@dataclass(slots=True, eq=False)
class Attempt:
    """`question`: what this candidate is asked. `asked_at`: on Health's clock. `raw`: as the program put it."""

    candidate: Candidate
    question: Question
    listener: Listener
    asked_at: float
    began: float = field(default_factory=time.monotonic)
    raw: bool = False

    @property
    def fees(self) -> bool:
        """Whether it may cost what no usage says."""
        raw = self.question.raw
        return self.raw and raw is not None and bool(raw.extras.fees)

    @property
    def usage(self) -> Usage | None:
        """What the provider had counted when it was cut off."""
        return self.listener.usage

    def first_token_ms(self, latency_ms: int) -> int:
        """When its first word came; with the last one where it came in one piece."""
        first_at = self.listener.first_at if self.listener.streamed else None
        return latency_ms if first_at is None else min(latency_ms, round((first_at - self.began) * 1000))

    def ahead_tokens(self, per_s: int) -> int:
        """The most that the provider can have made that has not arrived, at `per_s` tokens a second."""
        silent_s = time.monotonic() - (self.listener.grown_at or self.began)
        return _AHEAD_TOKENS + round((silent_s + self.listener.heard_s) * per_s)


class Won(NamedTuple):
    candidate: Candidate
    answer: Answer
    record: AttemptRecord


class Turn(NamedTuple):
    """Whom to ask what. `planned`: the plan's candidate, from which `candidate` may differ in its reason and costs.
    `cut`: None where the answer begins anew; else it goes on with what was told, the end of which may be unknown to it.
    """

    planned: Candidate
    candidate: Candidate
    question: Question
    cut: str | None = None


def call_for(
    attempt: Attempt,
    disguise: Disguise | None,
    setup: Setup,
    uid: int,
    *,
    local_only: bool,
    avoids: frozenset[str],
    waits: bool,
) -> Call:
    """What the provider is sent for `uid`, for how long it may be silent, and which endpoints it may use (Call)."""
    candidate, options = attempt.candidate, attempt.question.options
    settings = setup.config.providers[candidate.provider]
    messages = attempt.question.messages if disguise is None else disguise.messages
    raw = raw_call(attempt.question, candidate, setup) if disguise is None else None
    return Call(
        model=candidate.model,
        messages=messages,
        timeout_s=settings.timeout_s if raw is None else silence_s(raw, candidate, settings.timeout_s),
        max_tokens=candidate.max_tokens,
        temperature=options.temperature,
        tools=options.tools if disguise is None else disguise.tools,
        tool_choice=options.tool_choice,
        response_schema=options.response_schema if disguise is None else disguise.response_schema,
        first_token_timeout_s=settings.first_token_timeout_s,
        affinity=affinity_of(uid, options.session, messages) if settings.replicas else "",
        local_only=local_only,
        avoids=avoids,
        waits=waits,
        raw=raw,
    )


def most_without_end(attempt: Attempt, setup: Setup, *, cut_off: bool) -> int:
    """The most that an attempt without an end can have cost, in nano-dollars.

    What has arrived of a stream bounds it: no tokenizer makes more tokens than bytes. What the provider has reported is
    owed, also above the worst case. A stream that we `cut_off` is bounded by its time where nothing had come, or
    nothing was read: a shell that asks for one leaves at once.
    """
    candidate, listener, catalog = attempt.candidate, attempt.listener, setup.catalog
    if not listener.streamed:
        return candidate.worst_case_nano
    if not cut_off and listener.usage is None and listener.first_at is None:
        return candidate.worst_case_nano
    if (raw := attempt.question.raw) is not None and raw.times > 1:  # one of its answers was looked at
        return candidate.worst_case_nano
    said = listener.usage or Usage()
    model = catalog.model(candidate.provider, candidate.model)
    prompt = said.input_tokens or attempt.question.size().most_tokens(model)
    per_s = setup.config.providers[candidate.provider].max_tokens_per_s
    output = max(said.output_tokens, listener.output_bytes) + attempt.ahead_tokens(per_s)
    bound = min(output, candidate.max_tokens or output)
    moment = attempt.question.moment
    for_an_hour = attempt.question.for_an_hour
    most = catalog.worst_case(candidate.provider, candidate.model, prompt, moment, bound, for_an_hour=for_an_hour)
    owed = catalog.cost(candidate.provider, candidate.model, said, moment) or 0
    return max(owed, min(most, candidate.worst_case_nano))


def most_of_answer(attempt: Attempt, setup: Setup) -> int:
    """The most that an answer without a known cost can have cost: what has arrived of it, unless what was said of its
    usage cannot be."""
    candidate, listener, catalog = attempt.candidate, attempt.listener, setup.catalog
    if listener.reported:
        return candidate.worst_case_nano
    prompt = attempt.question.size().most_tokens(catalog.model(candidate.provider, candidate.model))
    moment = attempt.question.moment
    for_an_hour = attempt.question.for_an_hour
    most = catalog.worst_case(
        candidate.provider, candidate.model, prompt, moment, listener.output_bytes, for_an_hour=for_an_hour
    )
    return min(most, candidate.worst_case_nano)
