"""How well answers served: what callers report of their own requests, and what the daemon sees for itself.

What a report may teach is bounded by what its user was given: it needs a request of his own that a model has answered,
counts once for each source, and all sources together for MOST_WEIGHT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cortexd.access import OutcomeRate, Turns
from cortexd.config import Config
from cortexd.domain.outcomes import Outcome, Source
from cortexd.errors import RequestNotFound
from cortexd.ledger import Ledger, StoredRequest
from cortexd.requests.attempt import Attempt
from cortexd.requests.automatic import Automatic
from cortexd.requests.intake import Request
from cortexd.requests.results import Completion
from cortexd.routing import Learner, Observed
from cortexd.validation import parse_outcome

_AT_A_TIME = 16  # of one user
_MOST_ID = 64


class Outcomes:
    """Keeps them in the ledger, and lets `learner` know."""

    def __init__(self, ledger: Ledger, learner: Learner, config: Config, observed: Observed) -> None:
        self._ledger = ledger
        self._learner = learner
        self._config = config
        self._rate = OutcomeRate()
        self._turns = Turns(_AT_A_TIME)
        self._automatic = Automatic(self._note, config, observed)

    def adopt(self, config: Config) -> None:
        """Go by other settings; what was learned stays as it was weighed."""
        self._config = config
        self._automatic.adopt(config)

    def forget(self, uid: int) -> None:
        """That user is another one now."""
        self._automatic.forget(uid)

    def answered(self, request: Request, completion: Completion) -> None:
        """Look at an answer, where the configuration wants that."""
        self._automatic.answered(request, completion)

    def left(self, request: Request, cut_off: Attempt | None) -> None:
        """The same, at what the user has ended himself."""
        self._automatic.left(request, cut_off)

    async def close(self) -> None:
        """Return when all that was seen is kept."""
        await self._automatic.close()

    async def report(self, uid: int, request_id: str, score: float, details: object) -> None:
        """Note how well an answer served, and learn from it. Raises InvalidArgument, RateLimited, and RequestNotFound
        where this user made no such request."""
        wish = parse_outcome(score, details)
        _check_id(request_id)
        self._rate.take(uid, self._config.limits.max_outcomes_per_minute_per_user)
        outcome = Outcome(wish.score, wish.part * self._weight(wish.source))
        async with self._turns.turn(uid):
            await self._keep(uid, request_id, wish.source, outcome, wish.reason, wish.labels)

    async def request(self, uid: int, request_id: str) -> tuple[StoredRequest, Sequence[tuple[str, Outcome]]]:
        """One of that user's requests, the last that a model answered where `request_id` is empty, and what each source
        said of it. Raises RequestNotFound."""
        async with self._turns.turn(uid):
            found = await self._ledger.told(uid, request_id) if len(request_id) <= _MOST_ID else None
        if found is None:
            raise RequestNotFound("You made no request with that id." if request_id else "No model has answered you.")
        return found

    async def _note(self, uid: int, request_id: str, outcome: Outcome, rules: str) -> None:
        weighed = Outcome(outcome.score, outcome.weight * self._weight(Source.AUTO))
        await self._keep(uid, request_id, Source.AUTO, weighed, rules, {})

    async def _keep(
        self, uid: int, request_id: str, source: Source, outcome: Outcome, reason: str, labels: Mapping[str, str]
    ) -> None:
        """Write it down with what the learner makes of it, where it says something new of a model."""
        cells = self._learner.cells
        _, changed = await self._ledger.report_outcome(
            uid, request_id, source, outcome, cells.teach(), reason=reason, labels=labels
        )
        cells.adopt(changed)

    def _weight(self, source: Source) -> float:
        weight: float = getattr(self._config.routing.learned.sources, source.value)
        return weight


def _check_id(request_id: str) -> None:
    if not request_id or len(request_id) > _MOST_ID:
        raise RequestNotFound("You made no request with that id.")
