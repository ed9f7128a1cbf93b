"""Outcomes that the daemon sees for itself: facts about an answer, each off until the configuration wants it.

None holds a word of the request or of its answer, and none is taken of a privileged request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from cortexd.authority import Action, action_for
from cortexd.config import Config
from cortexd.config.outcomes import AutomaticSettings
from cortexd.domain.outcomes import Outcome, combined
from cortexd.errors import CortexError
from cortexd.requests.answers.bounded_store import BoundedStore
from cortexd.requests.attempt import Attempt
from cortexd.requests.conforming import calls_known_tools, keeps_to_schema
from cortexd.requests.intake import Request
from cortexd.requests.results import Completion
from cortexd.routing import Observed, Question
from cortexd.validation import content_hash

log = logging.getLogger("cortexd.outcomes")

_POOR = 0.25  # what hints at a poor answer proves none
_REPEATED_S = 60.0
_MOST_QUESTIONS = 4096  # that are remembered, half of them of one user at most
_MOST_HASHED = 256 * 1024  # bytes of a prompt
_BYTES_PER_TOKEN = 4
_MOST_UNDER_WAY = 1024  # notes, where the ledger is slow: then facts are let go

Facts = Mapping[str, float]
"""The name of each rule that has something to say, and its score."""
Note = Callable[[int, str, Outcome, str], Awaitable[None]]
"""Takes uid, request id, the outcome with its part of the source's weight, and the names of its rules."""


@dataclass(frozen=True, slots=True)
class _Answered:
    """A question's last answer. `at`: on time.monotonic."""

    request_id: str
    facts: Facts
    at: float


def facts_of(question: Question, completion: Completion) -> Facts:
    """What the answer itself tells, whatever is wanted."""
    options, ended, calls = question.options, completion.finish_reason, completion.answer.tool_calls
    facts: dict[str, float] = {}
    if options.response_schema is not None and ended == "stop" and not calls:
        kept = keeps_to_schema(completion.content, options.response_schema)
        facts |= {} if kept is None else {"schema_valid": float(kept)}
    known = calls_known_tools(calls, options)
    facts |= {} if known is None or ended == "length" else {"tool_call_parsed": float(known)}
    if ended == "length" and options.max_tokens is None:
        facts["cut_off"] = _POOR
    return facts


class Automatic:
    """Takes note of facts as requests end, beside them: nobody waits for it."""

    def __init__(
        self, note: Note, config: Config, observed: Observed, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._note = note
        self._config = config
        self._observed = observed
        self._clock = clock
        self._questions: BoundedStore[tuple[int, bytes], _Answered] = BoundedStore(
            lambda _answered: 1, _MOST_QUESTIONS, _REPEATED_S, clock
        )
        self._under_way: set[asyncio.Task[None]] = set()

    def adopt(self, config: Config) -> None:
        """Go by other settings from now on."""
        self._config = config
        if not self._wanted.repeated:
            self._questions.clear()

    def forget(self, uid: int) -> None:
        """Remember nothing of what that user asked."""
        self._questions.forget(uid)

    def answered(self, request: Request, completion: Completion) -> None:
        """A request has its answer; one from the cache tells nothing."""
        if not self._wanted.any or completion.cache_hit or not completion.settled or not self._may_look(request):
            return
        facts = facts_of(request.question, completion)
        self._take(request.caller.uid, request.request_id, facts)
        if self._wanted.repeated and request.question.size().text_bytes <= _MOST_HASHED:
            self._remember(request, facts)

    def left(self, request: Request, cut_off: Attempt | None) -> None:
        """The user has ended his request, in the middle of an attempt where there was one."""
        if not self._wanted.cancelled_half or cut_off is None or cut_off.listener.hear is None:
            return
        if not self._may_look(request):
            return
        candidate, said, question = cut_off.candidate, cut_off.listener.usage, request.question
        told = max(said.output_tokens if said else 0, cut_off.listener.output_bytes // _BYTES_PER_TOKEN)
        usual = self._observed.output_tokens(candidate.provider, candidate.model, question.task_type)
        if told >= min(usual, question.options.max_tokens or usual) / 2:
            self._take(request.caller.uid, request.request_id, {"cancelled_half": _POOR})

    async def close(self) -> None:
        """Return when all that was noted is kept."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    @property
    def _wanted(self) -> AutomaticSettings:
        return self._config.routing.learned.automatic

    def _may_look(self, request: Request) -> bool:
        """At nothing privileged, and at no request of the daemon's own."""
        question = request.question
        settings = self._config.authorization
        action = action_for(question.task_type, question.options, settings, question.offers_tools)
        native = question.raw is not None and question.raw.native  # nobody knows here what was asked
        return action is Action.COMPLETE and not (request.unrestricted or native)

    def _remember(self, request: Request, facts: Facts) -> None:
        """And take note of the earlier answer to the same question, where this one was asked after it."""
        question, uid = request.question, request.caller.uid
        asked = request.content_hash or content_hash(question.task_type, question.messages, question.options)
        earlier = self._questions.get((uid, asked))
        if earlier is not None and earlier.at <= request.began:
            self._take(uid, earlier.request_id, {**earlier.facts, "repeated": _POOR})
        self._questions.put((uid, asked), _Answered(request.request_id, facts, self._clock()))

    def _take(self, uid: int, request_id: str, facts: Facts) -> None:
        wanted = {rule: score for rule, score in facts.items() if getattr(self._wanted, rule)}
        if not wanted or len(self._under_way) >= _MOST_UNDER_WAY:
            return
        parts = combined(Outcome(score, getattr(self._wanted, rule)) for rule, score in wanted.items())
        outcome = Outcome(parts.score, min(1.0, parts.weight))
        task = asyncio.create_task(self._keep(uid, request_id, outcome, ", ".join(wanted)))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _keep(self, uid: int, request_id: str, outcome: Outcome, rules: str) -> None:
        try:
            await self._note(uid, request_id, outcome, rules)
        except CortexError as error:
            log.info("an outcome that was seen is not kept: %s", error)
