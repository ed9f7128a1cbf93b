"""What the attempts of one request came to, written down one by one: their cost, known or the most that it can be."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from cortexd.domain.messages import Usage
from cortexd.domain.targets import Target
from cortexd.errors import Failure, ProviderError
from cortexd.ledger import AttemptRecord
from cortexd.providers import EmptyAnswer
from cortexd.requests.attempt import Attempt, most_of_answer, most_without_end
from cortexd.requests.reservation import Reservation
from cortexd.requests.setup import Setup
from cortexd.requests.sinks import DeltaSink
from cortexd.routing import Candidate, Question, Wishes, continued, who_answers

OK, CANCELLED = "ok", "cancelled"


@dataclass(slots=True)
class Bookkeeping:
    """`records`: of the attempts that have ended, in that order. `question`: as the caller put it."""

    question: Question
    wishes: Wishes
    setup: Setup
    reservation: Reservation
    sink: DeltaSink | None = None
    records: list[AttemptRecord] = field(default_factory=list)

    @property
    def behind(self) -> bool:
        """Whether the reader was waited for at the end: nobody knows then how far the provider had come."""
        return self.sink is not None and self.sink.behind

    def answered(self, attempt: Attempt, usage: Usage | None, *, timed: bool) -> AttemptRecord:
        """`timed`: it took the provider's own time."""
        cost = self._cost(attempt.candidate, usage)
        amount = most_of_answer(attempt, self.setup) if cost is None else cost
        seen = self._seen(attempt.candidate.target)
        known = cost is not None and not attempt.fees
        return self._record(attempt, OK, amount, known=known, usage=usage, timed=timed, seen=seen)

    def failed(self, attempt: Attempt, error: ProviderError) -> None:
        cost, usage = (None, attempt.usage) if error.may_have_billed else (0, None)
        if isinstance(error, EmptyAnswer) and error.usage is not None:
            cost, usage = self._cost(attempt.candidate, error.usage), error.usage
        hung_up = error.failure is Failure.SILENT
        amount = self._most(attempt, cut_off=hung_up) if cost is None else cost
        self._record(attempt, error.failure.value, amount, known=cost is not None, usage=usage, text=error.message)

    def abandoned(self, attempt: Attempt, outcome: str) -> None:
        """It was cut off from our side: the most that it can have cost."""
        if self.setup.providers[attempt.candidate.provider].ready and not attempt.listener.unsent:
            self._record(attempt, outcome, self._most(attempt, cut_off=True), known=False, usage=attempt.usage)
        else:
            self._record(attempt, outcome, 0, known=True, usage=None)

    def last(self, record: AttemptRecord) -> None:
        """The answer's attempt is the last, whatever ended beside it."""
        self.records.remove(record)
        self.records.append(record)

    def _most(self, attempt: Attempt, *, cut_off: bool = False) -> int:
        """The most that an attempt without an end can have cost, in nano-dollars. `cut_off`: from our side."""
        unread = not cut_off and self.behind
        return attempt.candidate.worst_case_nano if unread else most_without_end(attempt, self.setup, cut_off=cut_off)

    def _seen(self, target: Target) -> tuple[int | None, bool]:
        """The prompt's bytes, where it is texts alone, and whether it went on with a conversation."""
        size = self.question.size()
        goes_on = continued(self.question, who_answers(self.wishes, self.setup.config), target)
        more = size.images or (self.question.raw is not None and self.question.raw.asked.lost)
        return None if more else size.text_bytes, goes_on

    def _cost(self, candidate: Candidate, usage: Usage | None) -> int | None:
        """Of a whole answer, in nano-dollars; None where it is not known."""
        if usage is None:
            return None
        return self.setup.catalog.cost(candidate.provider, candidate.model, usage, self.question.moment)

    def _record(
        self,
        attempt: Attempt,
        outcome: str,
        cost_nano: int,
        *,
        known: bool,
        usage: Usage | None,
        text: str = "",
        timed: bool = False,
        seen: tuple[int | None, bool | None] = (None, None),
    ) -> AttemptRecord:
        candidate = attempt.candidate
        latency_ms = round((time.monotonic() - attempt.began) * 1000)
        known = known or not (cost_nano or candidate.worst_case_nano)  # what is free, however it ended
        first_ms = attempt.first_token_ms(latency_ms) if timed else None
        who = candidate.provider, candidate.model
        record = AttemptRecord(*who, outcome, cost_nano, known, usage, latency_ms, text, first_ms, *seen)
        self.records.append(record)
        self.reservation.booked(candidate.worst_case_nano, cost_nano)
        return record
