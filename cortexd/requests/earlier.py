"""An earlier call with the same chosen id: joined while it is under way, given again while it is kept, else expired.

One that ended without an answer and without a bill is as if it had never been.
"""

from __future__ import annotations

from collections.abc import Awaitable

from cortexd.access import Turns
from cortexd.errors import AnswerExpired, LedgerUnavailable, RequestIdReused
from cortexd.ledger import Ledger, StoredRequest
from cortexd.requests.in_flight import InFlight
from cortexd.requests.intake import Request
from cortexd.requests.results import Completion

_FINDINGS_PER_USER = 16  # in the ledger, at a time


class Earlier:
    """Finds what a request repeats. `waiting` of one user may wait for the ledger's word."""

    def __init__(self, in_flight: InFlight[Completion], ledger: Ledger) -> None:
        self._in_flight = in_flight
        self._ledger = ledger
        self._findings = Turns(_FINDINGS_PER_USER)

    def adopt(self, waiting: int) -> None:
        self._findings.waiting = waiting

    async def find(self, request: Request) -> Awaitable[Completion] | None:
        """The answer of an earlier call. Raises RequestIdReused, and AnswerExpired where it is held no longer."""
        if not request.chosen:
            return None
        held = self.held(request)
        if held is None:
            async with self._findings.turn(request.caller.uid):
                stored = await self._stored(request)
            held = self.held(request)  # it may have begun meanwhile
            if held is None and stored is not None:
                same_content(request, stored.content_hash)
                if not stored.in_vain:
                    raise expired(request, stored)
        return held

    async def _stored(self, request: Request) -> StoredRequest | None:
        """While a shared ledger is away nobody knows; what is paid for is refused then, and the rest books anew."""
        try:
            return await self._ledger.find(*request.key)
        except LedgerUnavailable:
            if not self._ledger.away:
                raise
            return None

    def held(self, request: Request) -> Awaitable[Completion] | None:
        """The same as far as this process has it, without a look into the ledger."""
        if not request.chosen:
            return None
        running = self._in_flight.running(request.key)
        if running is not None:
            same_content(request, running.content_hash)
            return running.join()
        given = self._in_flight.given(request.key)
        if given is None:
            return None
        same_content(request, given.content_hash)
        return _ready(given.answer)


def same_content(request: Request, earlier_hash: bytes) -> None:
    """Raise RequestIdReused where an id belongs to a request with other content."""
    if request.content_hash != earlier_hash:
        raise RequestIdReused(
            f"The request_id {request.request_id!r} was used for a request with other content. Choose another."
        )


def expired(request: Request, stored: StoredRequest) -> AnswerExpired:
    """What a request that only the ledger knows is answered with. Raises RequestIdReused for other content."""
    same_content(request, stored.content_hash)
    return AnswerExpired(
        f"The request {request.request_id!r} was made before ({stored.state}), and its answer is no longer held. "
        f"Choose another request_id to ask again.",
        cost_nano_usd=stored.cost_nano,
    )


async def _ready(completion: Completion) -> Completion:
    return completion
